"""What our chain is measured against: nothing, the textbook, and the published."""

import importlib
from typing import Any

import grpc
from grpc import aio

import resilience


class _NoOpUnary(aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(client_call_details, request)


class _NoOpStream(aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(client_call_details, request)


def no_op() -> list[Any]:
    """Return interceptors that do nothing: what having one costs."""
    return [_NoOpUnary(), _NoOpStream()]


class _Textbook(aio.UnaryUnaryClientInterceptor):
    """Retries outside, the breaker around every attempt, the answer awaited inside."""

    def __init__(self) -> None:
        pybreaker = importlib.import_module("pybreaker")
        self._tenacity = importlib.import_module("tenacity")
        self._breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        tenacity = self._tenacity
        attempts = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            retry=tenacity.retry_if_exception(_unavailable),
            reraise=True,
        )
        async for attempt in attempts:
            with attempt, self._breaker.calling():
                call = await continuation(client_call_details, request)
                await call
        return call


def _unavailable(error: BaseException) -> bool:
    return (
        isinstance(error, aio.AioRpcError)
        and error.code() is grpc.StatusCode.UNAVAILABLE
    )


def textbook() -> list[Any]:
    """Return pybreaker and tenacity as their documentation puts them together."""
    return [_Textbook()]


def kit() -> list[Any]:
    """Return grpc-client-kit's chain of its three policies. Raises ImportError."""
    found = importlib.import_module("grpc_client_kit")
    chain: list[Any] = found.build_interceptors(
        timeout=found.TimeoutConfig(default=5.0),
        retry=found.RetryConfig(),
        circuit_breaker=found.CircuitBreakerConfig(),
    )
    return chain


def _provider() -> Any:
    """Return an SDK tracer provider whose spans are made, ended and dropped."""
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    provider = sdk.TracerProvider()
    provider.add_span_processor(sdk.SpanProcessor())
    return provider


def _instrumentation() -> Any:
    return importlib.import_module("opentelemetry.instrumentation.grpc")


def open_telemetry() -> list[Any]:
    """Return the published instrumentation for grpc.aio clients."""
    found: list[Any] = _instrumentation().aio_client_interceptors(
        tracer_provider=_provider()
    )
    return found


def _ours(provider: Any) -> list[Any]:
    adapters = importlib.import_module("resilience.contrib.opentelemetry")
    tracer = provider.get_tracer("bench")
    return resilience.aio_client_interceptors(
        resilience.standard("bench"),
        listener=adapters.SpanEvents(tracer),
        observer=adapters.AttemptSpans(tracer),
    )


def ours_with_attempt_spans() -> list[Any]:
    """Return our chain with a span for every attempt and its events."""
    return _ours(_provider())


def ours_with_open_telemetry() -> list[Any]:
    """Return our chain as seen by our spans, inside the published logical span."""
    provider = _provider()
    outer = _instrumentation().aio_client_interceptors(tracer_provider=provider)
    return [*outer, *_ours(provider)]


class _BlockingNoOp(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
):
    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return continuation(client_call_details, request)

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return continuation(client_call_details, request)


def blocking_no_op() -> list[Any]:
    """Return an interceptor for the blocking API that does nothing."""
    return [_BlockingNoOp()]


class _ServerNoOp(aio.ServerInterceptor):
    async def intercept_service(
        self, continuation: Any, handler_call_details: Any
    ) -> Any:
        return await continuation(handler_call_details)


def server_no_op() -> list[Any]:
    """Return a server interceptor that does nothing."""
    return [_ServerNoOp()]


def server_open_telemetry() -> list[Any]:
    """Return the published instrumentation for grpc.aio servers."""
    return [_instrumentation().aio_server_interceptor(tracer_provider=_provider())]


def served_with_open_telemetry() -> list[Any]:
    """Return the published instrumentation, and our chain inside it."""
    policy = resilience.ServerPolicy(max_concurrent=1000)
    return [*server_open_telemetry(), resilience.aio_server_interceptor(policy)]
