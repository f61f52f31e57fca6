"""Interceptors that put a server's load into the trailers of each answer.

Placed before the resilience interceptor in the server's list, they report with its
refusals, too.
"""

import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import grpc
from grpc import aio

from resilience._outcome import CODES, HEALTHY_CODES
from resilience.native._load import TRAILER, LoadReporter
from resilience.server_handlers import rebuild

_LOG = logging.getLogger(__name__)
# A caller's mistake is no error of the server; an unexpected exception is.
_NO_ERRORS: Final = (HEALTHY_CODES | {"CANCELLED"}) - {"UNKNOWN"}


def _fine(code: Any) -> bool:
    """Tell whether a code, as a handler may set it, is no error of the server."""
    if code is None:
        return True
    if isinstance(code, int):
        return 0 <= code < len(CODES) and CODES[code] in _NO_ERRORS
    name = getattr(code, "name", "")
    return name in _NO_ERRORS


class _Context:
    """A servicer's context whose trailers end with the report."""

    __slots__ = ("_code", "_context", "_reporter", "_told", "_trailers")

    def __init__(self, context: Any, reporter: LoadReporter) -> None:
        self._context = context
        self._reporter = reporter
        self._code: Any = None
        self._told = False
        # A blocking handler's context under grpc.aio cannot be asked.
        read = getattr(context, "trailing_metadata", tuple)
        self._trailers: tuple[Any, ...] = tuple(read() or ())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Set the handler's own trailers; the report is added at the end."""
        self._trailers = tuple(trailing_metadata or ())
        self._context.set_trailing_metadata(self._trailers)

    def trailing_metadata(self) -> Any:
        """Return the handler's own trailers."""
        return self._trailers

    def set_code(self, code: Any) -> None:
        """Set the status; see ServicerContext.set_code."""
        self._code = code
        self._context.set_code(code)

    def add(self, *, ok: bool, given: Any = ()) -> tuple[Any, ...]:
        """Count the answer; return the trailers with the report."""
        self._told = True
        self._reporter.ended(ok=ok)
        held = tuple(given or self._trailers)
        try:
            report = self._reporter.report().encode()
        except Exception:  # noqa: BLE001  # a gauge that fails must not fail the call
            _LOG.exception("no load was reported")
            return held
        return (*held, (TRAILER, report))

    def finish(self, *, raised: bool = False) -> None:
        """Set the trailers of an answer, unless it was aborted."""
        if not self._told:
            ok = not raised and _fine(self._code)
            self._context.set_trailing_metadata(self.add(ok=ok))


class _AioContext(_Context):
    __slots__ = ()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> None:
        trailers = self.add(ok=_fine(code), given=trailing_metadata)
        await self._context.abort(code, details, trailers)

    async def abort_with_status(self, status: Any) -> None:
        await self.abort(status.code, status.details, status.trailing_metadata)


class _BlockingContext(_Context):
    __slots__ = ()

    # grpc.aio gives its blocking handlers a context that takes trailers here.
    def abort(
        self, code: grpc.StatusCode, details: str, *trailing_metadata: Any
    ) -> None:
        given = trailing_metadata[0] if trailing_metadata else ()
        trailers = self.add(ok=_fine(code), given=given)
        self._context.set_trailing_metadata(trailers)
        if trailing_metadata:
            self._context.abort(code, details, trailers)
        self._context.abort(code, details)

    def abort_with_status(self, status: Any) -> None:
        trailers = self.add(ok=_fine(status.code), given=status.trailing_metadata)
        self._context.set_trailing_metadata(trailers)
        self._context.abort(status.code, status.details)


def _blocking(behaviour: Any, reporter: LoadReporter, *, streams: bool) -> Any:
    def served(request: Any, context: Any) -> Any:
        mine = _BlockingContext(context, reporter)
        try:
            response = behaviour(request, mine)
        except Exception:
            mine.finish(raised=True)
            raise
        mine.finish()
        return response

    def streamed(request: Any, context: Any) -> Iterator[Any]:
        mine = _BlockingContext(context, reporter)
        try:
            yield from behaviour(request, mine)
        except Exception:
            mine.finish(raised=True)
            raise
        mine.finish()

    return streamed if streams else served


def _aio(behaviour: Any, reporter: LoadReporter) -> Any:
    async def served(request: Any, context: Any) -> Any:
        mine = _AioContext(context, reporter)
        try:
            response = await behaviour(request, mine)
        except Exception:
            mine.finish(raised=True)
            raise
        mine.finish()
        return response

    async def streamed(request: Any, context: Any) -> AsyncIterator[Any]:
        mine = _AioContext(context, reporter)
        try:
            async with contextlib.aclosing(behaviour(request, mine)) as responses:
                async for response in responses:
                    yield response
        except Exception:
            mine.finish(raised=True)
            raise
        mine.finish()

    return streamed if inspect.isasyncgenfunction(behaviour) else served


class _AioServer(aio.ServerInterceptor):
    def __init__(self, reporter: LoadReporter) -> None:
        self._reporter = reporter

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None

        def around(behaviour: Any) -> Any:
            if inspect.isasyncgenfunction(behaviour) or inspect.iscoroutinefunction(
                behaviour
            ):
                return _aio(behaviour, self._reporter)
            streams = handler.response_streaming
            return _blocking(behaviour, self._reporter, streams=streams)

        return rebuild(handler, around)


class _Server(grpc.ServerInterceptor):
    def __init__(self, reporter: LoadReporter) -> None:
        self._reporter = reporter

    def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        streams = handler.response_streaming
        return rebuild(
            handler,
            lambda behaviour: _blocking(behaviour, self._reporter, streams=streams),
        )


def aio_load_interceptor(reporter: LoadReporter) -> aio.ServerInterceptor:
    """Return the interceptor that reports a grpc.aio server's load to its clients.

    Cancelled calls have no answer to report with, and are not counted.
    """
    return _AioServer(reporter)


def load_interceptor(reporter: LoadReporter) -> grpc.ServerInterceptor:
    """Return the interceptor that reports a blocking server's load to its clients."""
    return _Server(reporter)
