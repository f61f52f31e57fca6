"""Calls that were over before gRPC saw them, with an error or an answer (grpc.aio).

grpc.aio breaks on a bare iterator in a stream's place (code() and even the
channel's close() fail), so every kind gets a real call.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import grpc
from grpc import aio

from resilience._answer import Answer
from resilience._errors import ResilienceError
from resilience.aio_errors import as_rpc_error


class _EndedCall:
    """A call that has ended already, with everything a caller may ask of one."""

    _done_writing_flag = True
    _error: aio.AioRpcError | None

    def __init__(self, end: aio.AioRpcError | ResilienceError | Answer) -> None:
        self._left: list[Any] = []
        if isinstance(end, Answer):
            self._error = None
            self._left = list(end.responses)
            self._initial = aio.Metadata(*end.initial)
            self._trailers = aio.Metadata(*end.trailers)
            return
        self._error = end if isinstance(end, aio.AioRpcError) else as_rpc_error(end)
        self._initial = self._error.initial_metadata()
        self._trailers = self._error.trailing_metadata()

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def time_remaining(self) -> float | None:
        return None

    async def initial_metadata(self) -> Any:
        return self._initial

    async def trailing_metadata(self) -> Any:
        return self._trailers

    async def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK if self._error is None else self._error.code()

    async def details(self) -> str:
        return "" if self._error is None else self._error.details() or ""

    async def debug_error_string(self) -> str:
        return "" if self._error is None else self._error.debug_error_string() or ""

    async def wait_for_connection(self) -> None:
        if self._error is not None:
            raise self._error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._error or 'OK'!r}>"


class _UnaryResponse(_EndedCall):
    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        if self._error is not None:
            raise self._error
        return self._left[0]


class _StreamResponse(_EndedCall):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._error is not None:
            raise self._error
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)

    async def read(self) -> Any:
        if self._error is None and not self._left:
            return aio.EOF
        return await self.__anext__()


class _StreamRequest(_EndedCall):
    async def write(self, _request: Any) -> None:
        if self._error is not None:
            raise self._error
        raise asyncio.InvalidStateError("the call was answered without being sent")

    async def done_writing(self) -> None:
        """Nothing is being written."""


class EndedUnaryUnary(_UnaryResponse, aio.UnaryUnaryCall):  # type: ignore[type-arg]
    """A unary-unary call that is over."""


class EndedUnaryStream(_StreamResponse, aio.UnaryStreamCall):  # type: ignore[type-arg]
    """A unary-stream call that is over."""


class EndedStreamUnary(_StreamRequest, _UnaryResponse, aio.StreamUnaryCall):  # type: ignore[type-arg]
    """A stream-unary call that is over."""


class EndedStreamStream(_StreamRequest, _StreamResponse, aio.StreamStreamCall):  # type: ignore[type-arg]
    """A stream-stream call that is over."""
