"""The whole chain for one request and one response, for grpc.aio.

Most calls pass policies of which none has anything to say, and succeed. They take a
short way through one coroutine and few objects: between two calls the core, the loop
and the kernel have run, so what is touched costs more than what is computed.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from grpc import aio

from resilience._attempt import Attempt
from resilience._chain import Tally
from resilience._criticality import CURRENT_CRITICALITY
from resilience._errors import CircuitOpenError, ResilienceError
from resilience._slot import Failure, Slot
from resilience.aio_answers import fall_back, shared
from resilience.aio_attempt import enter, failure_of, prepared
from resilience.aio_calls import EndedUnaryUnary
from resilience.aio_errors import as_rpc_error
from resilience.aio_face import Face
from resilience.aio_hedge import Hedged

_Ended = tuple[Any, Failure | None, aio.AioRpcError | None]


class UnaryUnary(Face, aio.UnaryUnaryClientInterceptor):
    """The whole chain."""

    async def intercept_unary_unary(  # noqa: C901  # the short way is one coroutine
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call, and make it again where the policy says so."""
        details = client_call_details
        chain = self.chain
        slot = chain.slot(details.method)
        if not slot.simple or CURRENT_CRITICALITY.get() is not None:
            return await self._any(slot, continuation, details, request)
        bulkhead = slot.bulkhead
        if bulkhead is not None and not bulkhead.try_enter():
            return await self._any(slot, continuation, details, request)
        breaker = slot.breaker
        try:
            timeout = slot.timeout(details.timeout, streaming=False)
            permit = None if breaker is None else breaker.acquire()
        except ResilienceError as error:
            if bulkhead is not None:
                bulkhead.leave()
            if isinstance(error, CircuitOpenError):
                slot.note_refusal(error)
            return EndedUnaryUnary(error)
        if timeout != details.timeout:
            details = aio.ClientCallDetails(
                details.method,
                timeout,
                details.metadata,
                details.credentials,
                details.wait_for_ready,
            )
        call: Any = None
        started = chain.clock()
        try:
            call = await continuation(details, request)
            await call
        except BaseException as error:  # noqa: BLE001  # raised again, once told
            # Only now there is something to say, and an attempt to say it.
            attempt = Attempt(timeout, streaming=False)
            attempt.started = started
            attempt.bulkhead = bulkhead
            attempt.breaker, attempt.permit = breaker, permit
            first = (attempt, *_ended(slot, attempt, call, error))
            call, _ = await attempts(
                slot, continuation, details, request, None, timeout, first
            )
            return call
        if bulkhead is not None:
            bulkhead.leave()
        if breaker is not None and permit is not None:
            breaker.record(permit, ok=True, latency_s=chain.clock() - started)
        if slot.bucket is not None:
            slot.bucket.succeeded()
        return call

    async def _any(
        self,
        slot: Slot,
        continuation: Callable[..., Any],
        details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
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


async def attempts(  # noqa: C901  # the loop that is retrying
    slot: Slot,
    continuation: Callable[..., Any],
    details: aio.ClientCallDetails,
    request: Any,
    tally: Tally | None,
    timeout_s: float | None,
    first: tuple[Attempt, *_Ended] | None = None,
) -> tuple[Any, aio.AioRpcError | None]:
    """Make a call until it succeeds or may not be made again.

    *first* is an attempt that was made already, and how it ended. Returns the last
    attempt's call, which has ended, and its error if it failed.
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
        if first is not None:
            attempt, call, failure, error = first
            first = None
        else:
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
                return EndedUnaryUnary(refusal), as_rpc_error(refusal)
            call, failure, error = await one_attempt(
                slot, continuation, details, request, attempt, number
            )
        if failure is None:
            return call, error
        if number == 1:
            began = attempt.started - attempt.waited_s
            ends_at = None if timeout_s is None else began + timeout_s
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
) -> _Ended:
    """Make one attempt and wait for its end, which is told before this returns."""
    call: Any = None
    try:
        call = await continuation(prepared(slot, details, attempt, number), request)
        await call
    except BaseException as error:  # noqa: BLE001  # raised again, once told
        return _ended(slot, attempt, call, error)
    attempt.settle("OK", slot.chain.clock())
    if slot.bucket is not None:
        slot.bucket.succeeded()
    return call, None, None


def _ended(slot: Slot, attempt: Attempt, call: Any, error: BaseException) -> _Ended:
    """Tell how an attempt ended that raised *error*; raise what is no status."""
    clock = slot.chain.clock
    if isinstance(error, aio.AioRpcError):
        failure = failure_of(error, attempt, clock())
        # A call that was made is returned, not raised: its caller asks it for
        # the status, and nothing complains when nobody does.
        return (call or EndedUnaryUnary(error)), failure, error
    if isinstance(error, asyncio.CancelledError):
        attempt.settle("CANCELLED", clock(), cancelled_by="caller")
    else:
        attempt.settle(None, clock())
    raise error
