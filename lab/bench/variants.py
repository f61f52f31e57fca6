"""What is compared, by name: interceptors for a client, and for a server.

Only gRPC and `resilience` are imported here, the rest by the variants that need it: the
same file runs in an environment where little else is installed.
"""

from collections.abc import Callable
from typing import Any

from grpc import aio

import resilience
from resilience import (
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    CacheConfig,
    ClientPolicy,
    CoalesceConfig,
    Criticality,
    FallbackConfig,
    Gradient2Config,
    HedgeConfig,
    LimitConfig,
    RetryConfig,
    ServerPolicy,
    SheddingConfig,
    ThrottleConfig,
    policies,
)

Interceptors = list[Any]
# Nothing is refused at 32 calls in flight: what is measured is the bookkeeping.
WIDE = LimitConfig(algorithm=Gradient2Config(initial=200, least=200))


class _NoOp(aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(client_call_details, request)


class _NoOpStream(aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(client_call_details, request)


class _Textbook(aio.UnaryUnaryClientInterceptor):
    """As it is usually written, with the call awaited inside so that it works."""

    def __init__(self) -> None:
        import pybreaker  # noqa: PLC0415
        import tenacity  # noqa: PLC0415

        self._breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)
        self._tenacity = tenacity

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        tenacity = self._tenacity
        async for attempt in tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=1),
            retry=tenacity.retry_if_exception_type(aio.AioRpcError),
            reraise=True,
        ):
            with attempt:
                with self._breaker.calling():
                    call = await continuation(client_call_details, request)
                    await call
                return call
        raise AssertionError


def _kit() -> Interceptors:
    import grpc_client_kit as kit  # noqa: PLC0415

    return list(
        kit.build_interceptors(
            timeout=kit.TimeoutConfig(default=5.0),
            retry=kit.RetryConfig(max_attempts=3),
            circuit_breaker=kit.CircuitBreakerConfig(fail_threshold=5),
        )
    )


def _tracer() -> Any:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    return TracerProvider()


def _otel() -> Interceptors:
    from opentelemetry.instrumentation.grpc import (  # noqa: PLC0415
        aio_client_interceptors,
    )

    build: Any = aio_client_interceptors
    return list(build(tracer_provider=_tracer()))


def _full_otel() -> Interceptors:
    from resilience.contrib.opentelemetry import (  # noqa: PLC0415
        AttemptSpans,
        SpanEvents,
    )

    tracer = _tracer().get_tracer("bench")
    ours = resilience.aio_client_interceptors(
        resilience.standard("bench"),
        observer=AttemptSpans(tracer),
        listener=SpanEvents(tracer),
    )
    return [*_otel(), *ours]


def ours(policy: ClientPolicy) -> Callable[[], Interceptors]:
    """Return a variant of our client chain with *policy*."""
    return lambda: list(resilience.aio_client_interceptors(policy))


def _alone(*parts: object, **fields: Any) -> Callable[[], Interceptors]:
    return ours(policies("bench", *parts, **fields))


KIT = "grpc-client-kit: timeout, retry, breaker"
THREE = "resilience: deadline, retry, breaker"
FULL = "resilience: standard"

CLIENTS: dict[str, Callable[[], Interceptors]] = {
    "bare": list,
    "no-op": lambda: [_NoOp(), _NoOpStream()],
    "textbook pybreaker + tenacity": lambda: [_Textbook()],
    KIT: _kit,
    "opentelemetry": _otel,
    "resilience: none": ours(resilience.bare("bench")),
    "resilience: deadline": _alone(timeout_s=5.0, propagate_deadline=True),
    "resilience: retry": _alone(RetryConfig()),
    "resilience: budget": _alone(RetryConfig(), BudgetConfig()),
    "resilience: hedge": _alone(HedgeConfig(delay_s=1.0)),
    "resilience: breaker": _alone(BreakerConfig()),
    "resilience: limit": _alone(WIDE),
    "resilience: throttle": _alone(ThrottleConfig()),
    "resilience: bulkhead": _alone(BulkheadConfig(limit=100)),
    "resilience: criticality": _alone(criticality=Criticality.CRITICAL),
    "resilience: fallback": _alone(FallbackConfig(value=b"")),
    "resilience: coalescing": _alone(
        CoalesceConfig(cache=CacheConfig(ttl_s=0.0), key=lambda _request, _m: object())
    ),
    THREE: _alone(RetryConfig(), BreakerConfig(), timeout_s=5.0),
    FULL: ours(resilience.standard("bench")),
    "resilience: standard with opentelemetry": _full_otel,
}


class _NoOpServer(aio.ServerInterceptor):
    async def intercept_service(
        self, continuation: Any, handler_call_details: Any
    ) -> Any:
        return await continuation(handler_call_details)


def _server(policy: ServerPolicy) -> Callable[[], Interceptors]:
    return lambda: [resilience.aio_server_interceptor(policy)]


def _otel_server() -> Interceptors:
    from opentelemetry.instrumentation.grpc import (  # noqa: PLC0415
        aio_server_interceptor,
    )

    build: Any = aio_server_interceptor
    return [build(tracer_provider=_tracer())]


SERVER_FULL = "resilience: server"

SERVERS: dict[str, Callable[[], Interceptors]] = {
    "bare": list,
    "no-op": lambda: [_NoOpServer()],
    "opentelemetry": _otel_server,
    "resilience: limit and shedding": _server(
        ServerPolicy(limit=WIDE, shedding=SheddingConfig())
    ),
    SERVER_FULL: _server(ServerPolicy(max_concurrent=1000)),
}
