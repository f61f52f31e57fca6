"""The client chain as grpc.aio interceptors: one chain, four thin faces.

grpc.aio files an interceptor under the first call kind its class has, so there
is one object for each kind; they share the chain, and each call passes one.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from grpc import aio

from resilience._attempt import Attempt
from resilience._chain import Chain, Tally
from resilience._errors import ResilienceError
from resilience._slot import Failure, Slot
from resilience.aio_answers import fall_back, shared
from resilience.aio_attempt import enter, failure_of, prepared, watch
from resilience.aio_calls import (
    EndedStreamStream,
    EndedStreamUnary,
    EndedUnaryStream,
    EndedUnaryUnary,
)
from resilience.aio_errors import as_rpc_error
from resilience.aio_hedge import Hedged
from resilience.aio_stream import LiveStreamStream, LiveUnaryStream


class _Face:
    """What the four kinds share."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    async def _send(
        self,
        slot: Slot,
        continuation: Callable[..., Any],
        details: aio.ClientCallDetails,
        request: Any,
        attempt: Attempt,
        number: int = 1,
    ) -> Any:
        """Hand one attempt to gRPC; settled if that fails already."""
        try:
            return await continuation(prepared(slot, details, attempt, number), request)
        except aio.AioRpcError as error:
            failure_of(error, attempt, self.chain.clock())
            raise
        except asyncio.CancelledError:
            attempt.settle("CANCELLED", self.chain.clock(), cancelled_by="caller")
            raise
        except BaseException:
            attempt.settle(None, self.chain.clock())
            raise

    async def _begin(
        self,
        slot: Slot,
        details: aio.ClientCallDetails,
        timeout_s: float | None,
        *,
        streaming: bool,
        request: Any = None,
    ) -> Attempt:
        attempt = slot.begin(
            timeout_s, streaming=streaming, request=request, metadata=details.metadata
        )
        if slot.bulkhead is not None:
            await enter(slot, attempt)
        return attempt

    async def _refused(
        self, slot: Slot, error: ResilienceError, ended: Callable[[Any], Any]
    ) -> Any:
        """Return the call that a refusal before the first attempt makes."""
        if slot.fallback is not None:
            answer = await fall_back(slot, None, None, as_rpc_error(error))
            if answer is not None:
                return ended(answer)
        return ended(error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.chain.breakers()}>"


class UnaryUnary(_Face, aio.UnaryUnaryClientInterceptor):
    """The whole chain."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call, and make it again where the policy says so."""
        details = client_call_details
        slot = self.chain.slot(details.method)
        tally = self.chain.tally()
        if tally is None:
            return await self._answered(slot, continuation, details, request, None)
        code: str | None = "CANCELLED"
        try:
            call = await self._answered(slot, continuation, details, request, tally)
            code = (await call.code()).name
        except Exception:
            code = None
            raise
        finally:
            self.chain.finished(slot, tally, code)
        return call

    async def _answered(
        self,
        slot: Slot,
        continuation: Callable[..., Any],
        details: aio.ClientCallDetails,
        request: Any,
        tally: Tally | None,
    ) -> Any:
        try:
            timeout = slot.timeout(details.timeout, streaming=False)
        except ResilienceError as error:
            return EndedUnaryUnary(error)
        failed: aio.AioRpcError | None
        if slot.plain:
            call, _ = await attempts(
                slot, continuation, details, request, tally, timeout
            )
            return call
        make = partial(attempts, slot, continuation, details, request, tally)
        if slot.coalesce is not None:
            call, failed = await shared(slot, details, request, timeout, make)
        else:
            call, failed = await make(timeout)
        if slot.fallback is None:
            return call
        metadata = details.metadata
        if failed is None:
            if slot.fallback.config.stale_s:
                slot.fallback.remember(request, metadata, await call)
            return call
        answer = await fall_back(slot, request, metadata, failed)
        return call if answer is None else EndedUnaryUnary(answer)


async def attempts(
    slot: Slot,
    continuation: Callable[..., Any],
    details: aio.ClientCallDetails,
    request: Any,
    tally: Tally | None,
    timeout_s: float | None,
) -> tuple[Any, aio.AioRpcError | None]:
    """Make a call until it succeeds or may not be made again.

    Returns the last attempt's call, which has ended, and its error if it failed.
    """
    if slot.hedge is not None:
        one = partial(one_attempt, slot, continuation, details, request)
        hedged = Hedged(slot, request, details.metadata, timeout_s, one)
        try:
            return await hedged.run()
        finally:
            if tally is not None:
                tally.hedges += hedged.extra
    chain = slot.chain
    number = 1
    left = timeout_s
    ends_at: float | None = None
    state = None
    while True:
        try:
            attempt = slot.begin(
                slot.attempt_timeout(left),
                streaming=False,
                request=request,
                metadata=details.metadata,
            )
            if slot.bulkhead is not None:
                await enter(slot, attempt)
        except ResilienceError as refusal:
            call = EndedUnaryUnary(refusal)
            return call, as_rpc_error(refusal)
        call, failure, error = await one_attempt(
            slot, continuation, details, request, attempt, number
        )
        if failure is None:
            return call, error
        if number == 1:
            ends_at = None if timeout_s is None else attempt.started + timeout_s
            state = chain.retries(slot, attempt.started)
        delay = slot.failed(failure, state, attempt=number, ends_at=ends_at)
        if delay is None:
            return call, error
        if tally is not None:
            tally.retry(delay)
        await asyncio.sleep(delay)
        number += 1
        left = None if ends_at is None else ends_at - chain.clock()


async def one_attempt(
    slot: Slot,
    continuation: Callable[..., Any],
    details: aio.ClientCallDetails,
    request: Any,
    attempt: Attempt,
    number: int,
) -> tuple[Any, Failure | None, aio.AioRpcError | None]:
    """Make one attempt and wait for its end, which is told before this returns."""
    clock = slot.chain.clock
    call: Any = None
    try:
        call = await continuation(prepared(slot, details, attempt, number), request)
        await call
    except aio.AioRpcError as error:
        failure = failure_of(error, attempt, clock())
        # A call that was made is returned, not raised: its caller asks it for
        # the status, and nothing complains when nobody does.
        return (call or EndedUnaryUnary(error)), failure, error
    except asyncio.CancelledError:
        attempt.settle("CANCELLED", clock(), cancelled_by="caller")
        raise
    except BaseException:
        attempt.settle(None, clock())
        raise
    attempt.settle("OK", clock())
    if slot.bucket is not None:
        slot.bucket.succeeded()
    return call, None, None


class UnaryStream(_Face, aio.UnaryStreamClientInterceptor):
    """The chain for one request and many responses, but for coalescing and hedges."""

    async def intercept_unary_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call and watch it to its end; again while no response came."""
        details = client_call_details
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=True)
        except ResilienceError as error:
            return EndedUnaryStream(error)

        async def begin(number: int) -> tuple[Attempt, Any]:
            left = timeout
            if number > 1 and timeout is not None:
                left = started + timeout - self.chain.clock()
            attempt = await self._begin(
                slot, details, left, streaming=True, request=request
            )
            call = await self._send(
                slot, continuation, details, request, attempt, number
            )
            return attempt, call

        try:
            attempt, call = await begin(1)
        except ResilienceError as error:
            if isinstance(error, aio.AioRpcError):
                raise
            return await self._refused(slot, error, EndedUnaryStream)
        started = attempt.started
        return LiveUnaryStream(
            slot,
            attempt,
            call,
            begin=None if slot.retry is None else begin,
            fall_back=None
            if slot.fallback is None
            else partial(fall_back, slot, request, details.metadata),
        )


class StreamUnary(_Face, aio.StreamUnaryClientInterceptor):
    """Deadline, breaker and limits for many requests and one response."""

    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Make the call and watch it to its end.

        A caller may write to the call only once this has returned, so nothing
        here waits for the response.
        """
        details = client_call_details
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=False)
        except ResilienceError as error:
            return EndedStreamUnary(error)
        try:
            attempt = await self._begin(slot, details, timeout, streaming=False)
        except ResilienceError as error:
            return await self._refused(slot, error, EndedStreamUnary)
        call = await self._send(slot, continuation, details, request_iterator, attempt)
        call.add_done_callback(partial(watch, slot, attempt))
        return call


class StreamStream(_Face, aio.StreamStreamClientInterceptor):
    """Deadline, breaker and limits for streams both ways."""

    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Make the call and watch it to its end."""
        details = client_call_details
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=True)
        except ResilienceError as error:
            return EndedStreamStream(error)
        try:
            attempt = await self._begin(slot, details, timeout, streaming=True)
        except ResilienceError as error:
            return await self._refused(slot, error, EndedStreamStream)
        call = await self._send(slot, continuation, details, request_iterator, attempt)
        return LiveStreamStream(slot, attempt, call)
