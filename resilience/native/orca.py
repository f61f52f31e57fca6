"""Interceptors that put a server's load into the trailers of each answer."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
from grpc import aio

from resilience.native._load import TRAILER, LoadReporter
from resilience.server_handlers import rebuild


class _Context:
    """A servicer's context whose trailers always have the report."""

    __slots__ = ("_context", "_reporter", "_trailers")

    def __init__(self, context: Any, reporter: LoadReporter) -> None:
        self._context = context
        self._reporter = reporter
        self._trailers: tuple[Any, ...] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Set the handler's own trailers; the report is added at the end."""
        self._trailers = tuple(trailing_metadata or ())
        self._context.set_trailing_metadata(self._trailers)

    def trailing_metadata(self) -> Any:
        """Return the handler's own trailers."""
        return self._trailers

    def add(self, *, ok: bool, given: Any = None) -> tuple[Any, ...]:
        """Count the answer; return the trailers with the report."""
        self._reporter.ended(ok=ok)
        held = self._trailers if given is None else tuple(given)
        return (*held, (TRAILER, self._reporter.report().encode()))

    def finish(self, *, ok: bool) -> None:
        """Set the trailers of an answer that was not aborted."""
        self._context.set_trailing_metadata(self.add(ok=ok))


class _AioContext(_Context):
    __slots__ = ()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> None:
        given = tuple(trailing_metadata or self._trailers)
        await self._context.abort(code, details, self.add(ok=False, given=given))


class _BlockingContext(_Context):
    __slots__ = ()

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.finish(ok=False)
        self._context.abort(code, details)

    def abort_with_status(self, status: Any) -> None:
        self._trailers = tuple(status.trailing_metadata or ())
        self.finish(ok=False)
        self._context.abort(status.code, status.details)


class _AioServer(aio.ServerInterceptor):
    def __init__(self, reporter: LoadReporter) -> None:
        self._reporter = reporter

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler: Any = await continuation(handler_call_details)
        return None if handler is None else rebuild(handler, self._around)

    def _around(self, behaviour: Any) -> Any:
        async def served(request: Any, context: Any) -> Any:
            mine = _AioContext(context, self._reporter)
            response = await behaviour(request, mine)
            mine.finish(ok=not context.code())
            return response

        async def streamed(request: Any, context: Any) -> AsyncIterator[Any]:
            mine = _AioContext(context, self._reporter)
            async for response in behaviour(request, mine):
                yield response
            mine.finish(ok=not context.code())

        return streamed if inspect.isasyncgenfunction(behaviour) else served


class _Server(grpc.ServerInterceptor):
    def __init__(self, reporter: LoadReporter) -> None:
        self._reporter = reporter

    def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None

        def around(behaviour: Any) -> Any:
            def served(request: Any, context: Any) -> Any:
                mine = _BlockingContext(context, self._reporter)
                response = behaviour(request, mine)
                mine.finish(ok=not context.code())
                return response

            def streamed(request: Any, context: Any) -> Iterator[Any]:
                mine = _BlockingContext(context, self._reporter)
                yield from behaviour(request, mine)
                mine.finish(ok=not context.code())

            return streamed if handler.response_streaming else served

        return rebuild(handler, around)


def aio_load_interceptor(reporter: LoadReporter) -> aio.ServerInterceptor:
    """Return the interceptor that reports a grpc.aio server's load to its clients."""
    return _AioServer(reporter)


def load_interceptor(reporter: LoadReporter) -> grpc.ServerInterceptor:
    """Return the interceptor that reports a blocking server's load to its clients."""
    return _Server(reporter)
