"""A stream of responses that is watched, and begun anew while nothing came of it.

gRFC A6: a call is committed once a response was seen; until then it may be made
again. What a caller holds is one call, whatever number of attempts is behind it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from resilience._answer import Answer
from resilience._attempt import Attempt
from resilience._errors import ResilienceError
from resilience._retry import RetryState
from resilience._slot import Failure, Slot
from resilience.aio_attempt import ended, result
from resilience.aio_calls import EndedUnaryStream

_Begin = Callable[[int], Awaitable[tuple[Attempt, Any]]]
_FallBack = Callable[[Exception], Awaitable[Answer | None]]


class _Live:
    """Counts messages, settles the attempt, and knows when all is over."""

    def __init__(
        self,
        slot: Slot,
        attempt: Attempt,
        call: Any,
        *,
        begin: _Begin | None = None,
        fall_back: _FallBack | None = None,
    ) -> None:
        self._slot = slot
        self._attempt = attempt
        self._call = call
        self._begin = begin
        self._fall_back = fall_back
        self._number = 1
        self._messages = 0
        self._state: RetryState | None = None
        timeout = attempt.timeout_s
        self._ends_at = None if timeout is None else attempt.started + timeout
        self._renewal: asyncio.Task[None] | None = None
        self._callbacks: list[Callable[[Any], None]] | None = []
        call.add_done_callback(self._on_done)

    def _on_done(self, call: Any) -> None:
        attempt = self._attempt
        if call is not self._call or attempt.settled:
            return
        slot = self._slot
        failure = ended(slot, attempt, call, messages=self._messages)
        if failure is not None and self._may_answer(failure):
            return
        self._finish()

    def _may_answer(self, failure: Failure) -> bool:
        """Begin to make the call again, or to answer it otherwise, if that is right."""
        slot = self._slot
        if self._begin is not None and self._state is None:
            self._state = slot.chain.retries(slot, self._attempt.started)
        state = self._state if self._begin is not None else None
        delay = slot.failed(failure, state, attempt=self._number, ends_at=self._ends_at)
        loop = asyncio.get_running_loop()
        if delay is not None:
            self._renewal = loop.create_task(self._again(delay))
            return True
        if self._fall_back is None or self._messages:
            return False
        error = aio.AioRpcError(
            grpc.StatusCode[failure.code],
            result(self._call.initial_metadata()) or aio.Metadata(),
            result(self._call.trailing_metadata()) or aio.Metadata(),
            details=result(self._call.details()),
        )
        self._renewal = loop.create_task(self._answer(error, self._call))
        return True

    async def _again(self, delay: float) -> None:
        await asyncio.sleep(delay)
        assert self._begin is not None
        self._number += 1
        try:
            attempt, call = await self._begin(self._number)
        except (ResilienceError, aio.AioRpcError) as error:
            ended_call = EndedUnaryStream(error)
            if self._fall_back is not None:
                await self._answer(error, ended_call)
                return
            self._call = ended_call
            self._finish()
            return
        self._attempt, self._call, self._renewal = attempt, call, None
        call.add_done_callback(self._on_done)

    async def _answer(self, error: Exception, otherwise: Any) -> None:
        assert self._fall_back is not None
        answer = await self._fall_back(error)
        self._call = otherwise if answer is None else EndedUnaryStream(answer)
        self._finish()

    def _finish(self) -> None:
        self._renewal = None
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    async def _current(self) -> Any:
        while self._renewal is not None:
            # Not ours alone: another reader may wait for it, and cancel.
            await asyncio.wait((self._renewal,))
            if self._renewal is not None and self._renewal.done():
                self._renewal.result()
        return self._call

    async def read(self) -> Any:
        while True:
            try:
                call = self._call if self._renewal is None else await self._current()
            except asyncio.CancelledError:
                # As gRPC does with a call whose reader is cancelled.
                self.cancel()
                raise
            try:
                message = await call.read()
            except aio.AioRpcError:
                self._on_done(call)
                if self._renewal is None and self._call is call:
                    raise
                continue
            if message is aio.EOF:
                # How a call ended that was cancelled, or answered otherwise.
                if self._renewal is not None:
                    continue
                return message
            if not self._messages:
                self._attempt.delivered()
            self._messages += 1
            return message

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        message = await self.read()
        if message is aio.EOF:
            raise StopAsyncIteration
        return message

    def cancel(self) -> bool:
        if self._renewal is None:
            done: bool = self._call.cancel()
            return done
        self._renewal.cancel()
        self._call = EndedUnaryStream(
            aio.AioRpcError(
                grpc.StatusCode.CANCELLED,
                aio.Metadata(),
                aio.Metadata(),
                details="Locally cancelled by application!",
            )
        )
        self._finish()
        return True

    def cancelled(self) -> bool:
        if self._renewal is not None:
            return False
        if isinstance(self._call, EndedUnaryStream):
            return result(self._call.code()) is grpc.StatusCode.CANCELLED
        found: bool = self._call.cancelled()
        return found

    def done(self) -> bool:
        return self._renewal is None and bool(self._call.done())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._callbacks is None:
            callback(self)
        else:
            self._callbacks.append(callback)

    def time_remaining(self) -> float | None:
        left: float | None = self._call.time_remaining()
        return left

    async def initial_metadata(self) -> Any:
        return await (await self._current()).initial_metadata()

    async def trailing_metadata(self) -> Any:
        await self._ended()
        return await self._call.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        await self._ended()
        code: grpc.StatusCode = await self._call.code()
        return code

    async def details(self) -> str:
        await self._ended()
        details: str = await self._call.details()
        return details

    async def debug_error_string(self) -> str:
        await self._ended()
        text: str = await self._call.debug_error_string()
        return text

    async def _ended(self) -> None:
        while True:
            call = await self._current()
            await call.code()
            self._on_done(call)
            if self._renewal is None and call is self._call:
                return

    async def wait_for_connection(self) -> None:
        await (await self._current()).wait_for_connection()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} attempt {self._number}, {self._call!r}>"


class LiveUnaryStream(_Live, aio.UnaryStreamCall):  # type: ignore[type-arg]
    """A watched unary-stream call."""


class LiveStreamStream(_Live, aio.StreamStreamCall):  # type: ignore[type-arg]
    """A watched stream-stream call; never made again, its requests are gone."""

    @property
    def _done_writing_flag(self) -> bool:
        return bool(self._call._done_writing_flag)  # noqa: SLF001  # grpc.aio asks us

    async def write(self, request: Any) -> None:
        """Send one more request; see StreamStreamCall.write."""
        await self._call.write(request)

    async def done_writing(self) -> None:
        """Tell that there are no more requests; see StreamStreamCall."""
        await self._call.done_writing()
