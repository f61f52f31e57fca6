"""One span per call served, with its true status, and the RED metrics beside it.

The published instrumentation reads a cancelled call and `abort_with_status` as OK
and writes a stack trace for every abort, hence the overrides.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
from opentelemetry.instrumentation.grpc._aio_server import (
    OpenTelemetryAioServerInterceptor,
)
from opentelemetry.trace import Span, SpanKind, Tracer

from observability import names, rpc
from observability.metrics import Metrics

_Behaviour = Callable[..., Any]
CANCELLED = "CANCELLED"


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
            with self._watch(method, context) as watched:
                watched.received(request)
                return await behavior(request, watched)

        return serve

    def _intercept_aio_server_stream(
        self, behavior: _Behaviour, handler_call_details: grpc.HandlerCallDetails
    ) -> _Behaviour:
        method = rpc.full_method(handler_call_details.method)

        async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._watch(method, context) as watched:
                watched.received(request)
                answer = behavior(request, watched)
                if hasattr(answer, "__aiter__"):
                    async for response in answer:
                        yield response
                else:
                    # A handler that writes to the context instead of yielding.
                    await answer

        return serve

    @contextmanager
    def _watch(self, method: str, context: Any) -> Iterator["WatchedContext"]:
        with ExitStack() as stack:
            measured = ["OK"]
            if self._metrics is not None:
                measured = stack.enter_context(self._metrics.request(method))
            stack.enter_context(self._set_remote_context(context))
            span = stack.enter_context(
                self._tracer.start_as_current_span(
                    method,
                    kind=SpanKind.SERVER,
                    attributes=_server_attributes(method, context),
                    record_exception=False,
                    set_status_on_exception=False,
                )
            )
            watched = WatchedContext(context, span)
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


class WatchedContext:
    """A servicer's context that remembers which status was given."""

    __slots__ = ("_context", "_span", "seen", "why")

    def __init__(self, context: Any, span: Span) -> None:
        self._context = context
        self._span = span
        self.seen = "OK"
        self.why: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def received(self, request: Any) -> None:
        """Note the size of a unary request, in bytes."""
        size = getattr(request, "ByteSize", None)
        if size is not None:
            self._span.set_attribute(names.PAYLOAD_BYTES, size())

    def cancelled(self) -> None:
        """Note that the caller left, or that the deadline passed."""
        left = self._context.time_remaining()
        self.seen = "DEADLINE_EXCEEDED" if left is not None and left <= 0 else CANCELLED
        self._span.set_attribute(
            names.CANCELLED_BY, "caller" if self.seen == CANCELLED else "deadline"
        )

    def failed(self, error: Exception) -> None:
        """Note what the handler raised, unless it was an abort."""
        if self.seen == "OK":
            self.seen = "UNKNOWN"
            self.why = type(error).__name__
            self._span.record_exception(error)

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> None:
        """Remember the status, then abort."""
        self.seen, self.why = code.name, details
        await self._context.abort(code, details, trailing_metadata)

    async def abort_with_status(self, status: Any) -> None:
        """Remember the status, then abort."""
        self.seen, self.why = status.code.name, status.details
        await self._context.abort_with_status(status)

    def set_code(self, code: grpc.StatusCode) -> None:
        """Remember the status the handler will return with."""
        self.seen = code.name
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        """Remember the reason."""
        self.why = details
        self._context.set_details(details)


def _server_attributes(method: str, context: Any) -> dict[str, str | float]:
    attributes: dict[str, str | float] = dict(rpc.attributes(method))
    remaining = context.time_remaining()
    if remaining is not None:
        attributes[names.DEADLINE_REMAINING_MS] = round(remaining * 1000, 3)
    peer = context.peer()
    if peer:
        attributes[names.PEER_ADDRESS] = peer.partition(":")[2].rpartition(":")[0]
    return attributes
