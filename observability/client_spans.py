"""One span per logical call, retries included, ended whatever becomes of the call.

The published instrumentation never ends the span of a call that its caller cancels
or of a stream that is left early, and hides the stream's call object, hence the
overrides.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from opentelemetry.instrumentation.grpc import _aio_client as upstream
from opentelemetry.trace import Span, SpanKind, Tracer

from observability import names, rpc

# Tasks that only read the status of a finished stream; the loop holds them weakly.
_Tasks = set[asyncio.Task[None]]


class _LogicalSpans:
    """What the four call kinds share."""

    def __init__(self, tracer: Tracer) -> None:
        # The four upstream classes come after this one in the order of resolution.
        super().__init__(tracer, filter_=rpc.wanted)  # type: ignore[call-arg]
        self._tracer = tracer

    def _start_interceptor_span(self, method: str | bytes) -> Any:
        name = rpc.full_method(method)
        return self._tracer.start_as_current_span(
            name,
            kind=SpanKind.CLIENT,
            attributes=rpc.attributes(name),
            end_on_exit=False,
            record_exception=False,
            set_status_on_exception=False,
        )

    async def _wrap_unary_response(
        self, continuation: Callable[[], Awaitable[Any]], span: Span
    ) -> Any:
        call = None
        try:
            call = await continuation()
            code = await call.code()
            details = None if code is grpc.StatusCode.OK else await call.details()
            trailers = None if details is None else await call.trailing_metadata()
        except BaseException as error:
            if call is not None:
                call.cancel()
            _finish_with(span, error)
            raise
        _finish(span, code.name, details, trailers)
        return call


class _StreamSpans(_LogicalSpans):
    """What the kinds share whose call its caller uses before it has ended."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__(tracer)
        self._tasks: _Tasks = set()

    async def _stream(
        self, continuation: Callable[..., Awaitable[Any]], details: Any, request: Any
    ) -> Any:
        if self.tracing_skipped(details):  # type: ignore[attr-defined]
            return await continuation(details, request)
        with self._start_interceptor_span(details.method) as span:
            try:
                call = await continuation(
                    self.propagate_trace_in_details(details),  # type: ignore[attr-defined]
                    request,
                )
            except BaseException as error:
                _finish_with(span, error)
                raise
            call.add_done_callback(partial(self._done, span))
            return call

    def _done(self, span: Span, call: Any) -> None:
        try:
            task = asyncio.get_running_loop().create_task(_read_status(span, call))
        except RuntimeError:
            # The loop is gone with the call: the span still ends.
            _finish(span, "CANCELLED", None, None)
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class UnaryUnarySpans(_LogicalSpans, upstream.UnaryUnaryAioClientInterceptor):
    """Spans of unary calls."""


class StreamUnarySpans(_StreamSpans, upstream.StreamUnaryAioClientInterceptor):
    """Spans of calls that send a stream."""

    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Start the span; it ends with the call.

        A caller may write to the call only once this has returned, so nothing
        here waits for the response.
        """
        return await self._stream(continuation, client_call_details, request_iterator)


class UnaryStreamSpans(_StreamSpans, upstream.UnaryStreamAioClientInterceptor):
    """Spans of calls that receive a stream."""

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Start the span; it ends with the stream."""
        return await self._stream(continuation, client_call_details, request)


class StreamStreamSpans(_StreamSpans, upstream.StreamStreamAioClientInterceptor):
    """Spans of calls that stream both ways."""

    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Start the span; it ends with the stream."""
        return await self._stream(continuation, client_call_details, request_iterator)


async def _read_status(span: Span, call: Any) -> None:
    code, details, trailers = "CANCELLED", None, None
    with contextlib.suppress(Exception):
        code = (await call.code()).name
        details = await call.details()
        trailers = await call.trailing_metadata()
    _finish(span, code, details, trailers)


def _finish_with(span: Span, error: BaseException) -> None:
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        _finish(span, "CANCELLED", None, None)
    elif isinstance(error, grpc.RpcError) and callable(getattr(error, "code", None)):
        trailing = getattr(error, "trailing_metadata", None)
        details = getattr(error, "details", None)
        _finish(
            span,
            error.code().name,
            details() if details else None,
            trailing() if trailing else None,
        )
    else:
        _finish(span, "UNKNOWN", type(error).__name__, None)


def _finish(span: Span, code: str, details: str | None, trailers: Any) -> None:
    for key, value in trailers or ():
        if key == names.REFUSAL_TRAILER:
            span.set_attribute(names.REFUSAL, _text(value))
    rpc.set_code(span, code, error=code != "OK", details=details)
    span.end()


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
