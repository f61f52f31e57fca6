"""One span per call served, with its true status, and the RED metrics beside it.

The published instrumentation reads a cancelled call and `abort_with_status` as OK
and writes a stack trace for every abort, hence the overrides.
"""

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import grpc
from opentelemetry.instrumentation.grpc._aio_server import (
    OpenTelemetryAioServerInterceptor,
)
from opentelemetry.trace import SpanKind, Tracer

from observability import names, rpc
from observability.metrics import Metrics
from observability.watched import BlockingContext, Watched, WatchedContext

_Behaviour = Callable[..., Any]
_Context = TypeVar("_Context", bound=Watched)


class ServerSpans(OpenTelemetryAioServerInterceptor):
    """The server's interceptor: remote parent, span, status, metrics."""

    def __init__(self, tracer: Tracer, metrics: Metrics | None = None) -> None:
        super().__init__(tracer, filter_=rpc.wanted)  # type: ignore[no-untyped-call]
        self._metrics = metrics

    def _intercept_aio_server_unary(
        self, behavior: _Behaviour, handler_call_details: grpc.HandlerCallDetails
    ) -> _Behaviour:
        method = rpc.full_method(handler_call_details.method)

        async def serve(request: Any, context: Any) -> Any:
            with self._watch(method, WatchedContext(context)) as watched:
                watched.received(request)
                return await behavior(request, watched)

        def serve_blocking(request: Any, context: Any) -> Any:
            with self._watch(method, BlockingContext(context)) as watched:
                watched.received(request)
                return behavior(request, watched)

        return serve if _asynchronous(behavior) else serve_blocking

    def _intercept_aio_server_stream(
        self, behavior: _Behaviour, handler_call_details: grpc.HandlerCallDetails
    ) -> _Behaviour:
        method = rpc.full_method(handler_call_details.method)

        async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._watch(method, WatchedContext(context)) as watched:
                watched.received(request)
                answer = behavior(request, watched)
                if hasattr(answer, "__aiter__"):
                    async for response in answer:
                        yield response
                else:
                    # A handler that writes to the context instead of yielding.
                    await answer

        def watched_messages(request: Any, context: Any) -> Generator[Any, None, None]:
            with self._watch(method, BlockingContext(context)) as watched:
                watched.received(request)
                yield from behavior(request, watched)

        def serve_blocking(request: Any, context: Any) -> Iterator[Any]:
            # Each message may be made in another thread of the server's pool.
            own = contextvars.copy_context()
            messages = watched_messages(request, context)
            try:
                while True:
                    try:
                        response = own.run(next, messages)
                    except StopIteration:
                        return
                    yield response
            finally:
                own.run(messages.close)

        return serve if _asynchronous(behavior) else serve_blocking

    @contextmanager
    def _watch(self, method: str, watched: _Context) -> Iterator[_Context]:
        with ExitStack() as stack:
            measured = ["OK"]
            if self._metrics is not None:
                measured = stack.enter_context(self._metrics.request(method))
            stack.enter_context(self._set_remote_context(watched))
            span = stack.enter_context(
                self._tracer.start_as_current_span(
                    method,
                    kind=SpanKind.SERVER,
                    attributes=_server_attributes(method, watched),
                    record_exception=False,
                    set_status_on_exception=False,
                )
            )
            watched.span = span
            try:
                yield watched
            except asyncio.CancelledError:
                watched.cancelled()
                raise
            except GeneratorExit:
                watched.cancelled()
                raise
            except Exception as error:
                watched.failed(error)
                raise
            finally:
                code = watched.seen
                rpc.set_code(
                    span, code, error=code in rpc.SERVER_ERRORS, details=watched.why
                )
                measured.append(code)


def _asynchronous(behavior: _Behaviour) -> bool:
    """Whether a handler runs on the loop; grpc.aio runs the others in threads."""
    return any(
        inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found)
        for found in (behavior, type(behavior).__call__)
    )


def _server_attributes(method: str, context: Any) -> dict[str, str | float]:
    attributes: dict[str, str | float] = dict(rpc.attributes(method))
    remaining = context.time_remaining()
    if remaining is not None:
        attributes[names.DEADLINE_REMAINING_MS] = round(remaining * 1000, 3)
    peer = context.peer()
    if peer:
        attributes[names.PEER_ADDRESS] = peer.partition(":")[2].rpartition(":")[0]
    return attributes
