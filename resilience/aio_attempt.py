"""One attempt of a grpc.aio call: its way in, its metadata, its outcome."""

from typing import Any

import grpc
from grpc import aio

from resilience._attempt import Attempt
from resilience._errors import BulkheadFullError
from resilience._outcome import CancelledBy
from resilience._sent import sent_metadata
from resilience._slot import Failure, Slot
from resilience._wire import ORIGIN, PUSHBACK, REFUSAL

_OK = grpc.StatusCode.OK
_CANCELLED = grpc.StatusCode.CANCELLED


async def enter(slot: Slot, attempt: Attempt) -> None:
    """Take a place in the bulkhead; what the attempt took is given back if none.

    Raises BulkheadFullError, and DeadlineSpentError after too long a wait.
    """
    bulkhead = slot.bulkhead
    if bulkhead is None:
        return
    if not bulkhead.try_enter():
        since = slot.chain.clock()
        try:
            await bulkhead.enter(attempt.timeout_s)
        except BulkheadFullError as error:
            slot.refused(attempt, error)
            raise
        except BaseException:
            attempt.abandon()
            raise
        attempt.bulkhead = bulkhead
        slot.waited(attempt, since)
        return
    attempt.bulkhead = bulkhead


def prepared(
    slot: Slot, details: aio.ClientCallDetails, attempt: Attempt, number: int
) -> aio.ClientCallDetails:
    """Return *details* with the attempt's timeout and metadata; start its clock."""
    metadata = details.metadata
    items = sent_metadata(slot, metadata, attempt, number)
    if items is not None:
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


def trailer(metadata: Any, key: str) -> str | None:
    """Return the first value of *key* as text, None when there is none."""
    for name, value in metadata or ():
        if name == key:
            return value.decode("latin-1") if isinstance(value, bytes) else value
    return None


def failure_of(
    error: aio.AioRpcError, attempt: Attempt, now: float, *, messages: int = 0
) -> Failure:
    """Settle *attempt* with the status that *error* brought, and return it."""
    code = error.code().name
    trailers = error.trailing_metadata() or ()
    origin = trailer(trailers, ORIGIN)
    refusal = trailer(trailers, REFUSAL)
    headers_seen = bool(error.initial_metadata())
    cancelled_by: CancelledBy | None = "peer" if code == "CANCELLED" else None
    attempt.settle(
        code,
        now,
        cancelled_by=cancelled_by,
        headers_seen=headers_seen,
        messages=messages,
        origin=origin,
        refusal=refusal,
    )
    return Failure(
        code=code,
        timed_out=attempt.ran_out(now - attempt.started),
        headers_seen=headers_seen or messages > 0,
        origin=origin,
        refusal=refusal,
        pushback=tuple(value for name, value in trailers if name == PUSHBACK),
    )


def result(coroutine: Any) -> Any:
    """Run a coroutine that has no reason to wait any more."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("a finished call made us wait")


def ended(
    slot: Slot, attempt: Attempt, call: Any, *, messages: int | None = None
) -> Failure | None:
    """Settle *call*, which has ended; return its failure unless it was cancelled."""
    now = slot.chain.clock()
    code = result(call.code())
    if code is _OK:
        attempt.settle("OK", now, messages=messages)
        slot.succeeded()
        return None
    if code is _CANCELLED:
        inner = getattr(call, "_cython_call", None)
        peer = inner is not None and not inner.is_locally_cancelled()
        attempt.settle(
            "CANCELLED",
            now,
            cancelled_by="peer" if peer else "caller",
            messages=messages or 0,
        )
        if not peer:
            return None
    error = aio.AioRpcError(
        code,
        result(call.initial_metadata()) or aio.Metadata(),
        result(call.trailing_metadata()) or aio.Metadata(),
    )
    return failure_of(error, attempt, now, messages=messages or 0)


def watch(slot: Slot, attempt: Attempt, call: Any) -> None:
    """Settle a call that ended after it had been handed to the caller."""
    if attempt.settled:
        return
    failure = ended(slot, attempt, call)
    if failure is not None:
        slot.failed(failure, None, attempt=1, ends_at=None)
