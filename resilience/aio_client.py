"""The client chain as grpc.aio interceptors: one chain, four thin faces.

grpc.aio files an interceptor under the first call kind its class has, so there
is one object for each kind; they share the chain, and each call passes one.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from grpc import aio

from resilience._attempt import Attempt
from resilience._chain import Chain, Failure, Slot
from resilience._errors import BulkheadFullError, ResilienceError
from resilience._outcome import CancelledBy
from resilience._wire import ORIGIN, PREVIOUS_ATTEMPTS, PUSHBACK, REFUSAL
from resilience.aio_calls import (
    FailedUnaryUnary,
    RefusedStreamStream,
    RefusedStreamUnary,
    RefusedUnaryStream,
    RefusedUnaryUnary,
)

_OK = grpc.StatusCode.OK


async def _enter(slot: Slot, attempt: Attempt) -> None:
    """Take a place in the bulkhead; what the attempt took is given back if none."""
    bulkhead = slot.bulkhead
    if bulkhead is None:
        return
    if not bulkhead.try_enter():
        try:
            await bulkhead.enter(attempt.timeout_s)
        except BulkheadFullError as error:
            slot.full(attempt, error)
            raise
        except BaseException:
            attempt.settle(None, slot.chain.clock())
            raise
    attempt.bulkhead = bulkhead


def _details(
    slot: Slot, details: aio.ClientCallDetails, attempt: Attempt, number: int
) -> aio.ClientCallDetails:
    """Return *details* with the attempt's timeout and metadata; start its clock."""
    metadata = details.metadata
    observer = slot.chain.observer
    if number > 1 or observer is not None:
        items: list[tuple[str, Any]] = list(metadata or ())
        if number > 1:
            items.append((PREVIOUS_ATTEMPTS, str(number - 1)))
        if observer is not None:
            attempt.handle = observer.attempt_started(
                slot.target, slot.method, number, items
            )
        metadata = aio.Metadata(*items)
    elif attempt.timeout_s == details.timeout:
        attempt.started = slot.chain.clock()
        return details
    attempt.started = slot.chain.clock()
    return aio.ClientCallDetails(
        details.method,
        attempt.timeout_s,
        metadata,
        details.credentials,
        details.wait_for_ready,
    )


def _trailer(metadata: Any, key: str) -> str | None:
    for name, value in metadata or ():
        if name == key:
            return value.decode("latin-1") if isinstance(value, bytes) else value
    return None


def _failure(error: aio.AioRpcError, attempt: Attempt, now: float) -> Failure:
    """Settle *attempt* with the status that *error* brought, and return it."""
    code = error.code().name
    trailers = error.trailing_metadata() or ()
    origin = _trailer(trailers, ORIGIN)
    refusal = _trailer(trailers, REFUSAL)
    headers_seen = bool(error.initial_metadata())
    cancelled_by: CancelledBy | None = "peer" if code == "CANCELLED" else None
    attempt.settle(
        code,
        now,
        cancelled_by=cancelled_by,
        headers_seen=headers_seen,
        origin=origin,
        refusal=refusal,
    )
    return Failure(
        code=code,
        timed_out=attempt.timeout_s is not None
        and now - attempt.started >= attempt.timeout_s - 0.005,
        headers_seen=headers_seen,
        origin=origin,
        refusal=refusal,
        pushback=tuple(value for name, value in trailers if name == PUSHBACK),
    )


def _result(coroutine: Any) -> Any:
    """Run a coroutine that has no reason to wait any more."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("a finished call made us wait")


def _stream_done(slot: Slot, attempt: Attempt, call: Any) -> None:
    """Settle a call that ended after it had been handed to the caller."""
    if attempt.settled:
        return
    now = slot.chain.clock()
    code = _result(call.code())
    if code is _OK:
        attempt.settle("OK", now)
        slot.succeeded()
        return
    if code is grpc.StatusCode.CANCELLED:
        inner = getattr(call, "_cython_call", None)
        peer = inner is not None and not inner.is_locally_cancelled()
        attempt.settle("CANCELLED", now, cancelled_by="peer" if peer else "caller")
        return
    error = aio.AioRpcError(
        code,
        _result(call.initial_metadata()) or aio.Metadata(),
        _result(call.trailing_metadata()) or aio.Metadata(),
    )
    slot.failed(_failure(error, attempt, now), None, attempt=1, ends_at=None)


class _Face:
    """What the four kinds share."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    async def _once(
        self,
        continuation: Callable[..., Any],
        details: aio.ClientCallDetails,
        request: Any,
        refused: Callable[[ResilienceError], Any],
        *,
        streaming: bool,
    ) -> Any:
        """Make the call; its outcome is told when it ends, whoever ends it.

        A caller may write to the call only once this has returned, so nothing
        here waits for responses.
        """
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=streaming)
            attempt = slot.begin(timeout, streaming=streaming)
            await _enter(slot, attempt)
        except ResilienceError as error:
            return refused(error)
        try:
            call = await continuation(_details(slot, details, attempt, 1), request)
        except aio.AioRpcError as error:
            _failure(error, attempt, self.chain.clock())
            raise
        except asyncio.CancelledError:
            attempt.settle("CANCELLED", self.chain.clock(), cancelled_by="caller")
            raise
        except BaseException:
            attempt.settle(None, self.chain.clock())
            raise
        call.add_done_callback(partial(_stream_done, slot, attempt))
        return call

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.chain.breakers()}>"


class UnaryUnary(_Face, aio.UnaryUnaryClientInterceptor):
    """The whole chain, retries included."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call, and make it again where the policy says so."""
        slot = self.chain.slot(client_call_details.method)
        try:
            timeout = slot.timeout(client_call_details.timeout, streaming=False)
            attempt = slot.begin(slot.attempt_timeout(timeout), streaming=False)
            if slot.bulkhead is not None:
                await _enter(slot, attempt)
        except ResilienceError as error:
            return RefusedUnaryUnary(error)
        send = partial(_send, slot, continuation, client_call_details, request)
        call, failure = await send(attempt, 1)
        if failure is None:
            return call
        started = attempt.started
        ends_at = None if timeout is None else started + timeout
        state = self.chain.retries(slot, started)
        number = 1
        while failure is not None:
            delay = slot.failed(failure, state, attempt=number, ends_at=ends_at)
            if delay is None:
                break
            await asyncio.sleep(delay)
            number += 1
            left = None if ends_at is None else ends_at - self.chain.clock()
            try:
                attempt = slot.begin(slot.attempt_timeout(left), streaming=False)
                await _enter(slot, attempt)
            except ResilienceError as error:
                return RefusedUnaryUnary(error)
            call, failure = await send(attempt, number)
        return call


async def _send(
    slot: Slot,
    continuation: Callable[..., Any],
    details: aio.ClientCallDetails,
    request: Any,
    attempt: Attempt,
    number: int,
) -> tuple[Any, Failure | None]:
    """Make one attempt and wait for its end, which is told before this returns."""
    clock = slot.chain.clock
    call: Any = None
    try:
        call = await continuation(_details(slot, details, attempt, number), request)
        await call
    except aio.AioRpcError as error:
        failure = _failure(error, attempt, clock())
        # A call that was made is returned, not raised: its caller asks it for
        # the status, and nothing complains when nobody does.
        return (call or FailedUnaryUnary(error)), failure
    except asyncio.CancelledError:
        attempt.settle("CANCELLED", clock(), cancelled_by="caller")
        raise
    except BaseException:
        attempt.settle(None, clock())
        raise
    attempt.settle("OK", clock())
    if slot.bucket is not None:
        slot.bucket.succeeded()
    return call, None


class UnaryStream(_Face, aio.UnaryStreamClientInterceptor):
    """Deadline, breaker and bulkhead for one request and many responses."""

    async def intercept_unary_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call and watch it to its end."""
        return await self._once(
            continuation,
            client_call_details,
            request,
            RefusedUnaryStream,
            streaming=True,
        )


class StreamUnary(_Face, aio.StreamUnaryClientInterceptor):
    """Deadline, breaker and bulkhead for many requests and one response."""

    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Make the call and watch it to its end."""
        return await self._once(
            continuation,
            client_call_details,
            request_iterator,
            RefusedStreamUnary,
            streaming=False,
        )


class StreamStream(_Face, aio.StreamStreamClientInterceptor):
    """Deadline, breaker and bulkhead for streams both ways."""

    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Make the call and watch it to its end."""
        return await self._once(
            continuation,
            client_call_details,
            request_iterator,
            RefusedStreamStream,
            streaming=True,
        )
