"""One attempt of a blocking call: its way in, its metadata, its outcome."""

import weakref
from typing import Any, NamedTuple

import grpc

from resilience._attempt import Attempt
from resilience._errors import BulkheadFullError
from resilience._outcome import CancelledBy
from resilience._sent import sent_metadata
from resilience._slot import Failure, Slot
from resilience._wire import ORIGIN, PUSHBACK, REFUSAL


class _DetailFields(NamedTuple):
    method: Any
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Details(_DetailFields, grpc.ClientCallDetails):
    """The call details that blocking grpc reads by attribute."""


def prepared(slot: Slot, details: Any, attempt: Attempt, number: int) -> Any:
    """Return *details* with the attempt's timeout and metadata; start its clock."""
    items = sent_metadata(slot, details.metadata, attempt, number)
    attempt.started = slot.chain.clock()
    return _Details(
        details.method,
        attempt.timeout_s,
        details.metadata if items is None else tuple(items),
        details.credentials,
        details.wait_for_ready,
        getattr(details, "compression", None),
    )


def begin(
    slot: Slot,
    timeout: float | None,
    *,
    streaming: bool,
    request: Any = None,
    metadata: Any = None,
) -> Attempt:
    """Pass every policy before the attempt. Raises ResilienceError."""
    attempt = slot.begin(
        timeout, streaming=streaming, request=request, metadata=metadata
    )
    bulkhead = slot.bulkhead
    if bulkhead is None:
        return attempt
    if bulkhead.try_enter():
        attempt.bulkhead = bulkhead
        return attempt
    since = slot.chain.clock()
    try:
        bulkhead.enter_blocking(attempt.timeout_s)
    except BulkheadFullError as error:
        slot.refused(attempt, error)
        raise
    except BaseException:
        attempt.abandon()
        raise
    attempt.bulkhead = bulkhead
    slot.waited(attempt, since)
    return attempt


def settle(
    slot: Slot,
    attempt: Attempt,
    call: Any,
    *,
    watched: bool = False,
    messages: int | None = None,
) -> Failure | None:
    """Tell how *call*, which has ended, ended; return its failure if it is one."""
    now = slot.chain.clock()
    code = call.code().name
    if code == "INTERNAL" and not isinstance(call.exception(), grpc.RpcError):
        # grpc's word for what was no status at all: a request that did not
        # serialise, a closed channel, an interceptor below us that raised.
        attempt.settle(None, now)
        return None
    if code == "OK":
        attempt.settle("OK", now, messages=messages)
        slot.succeeded()
        return None
    trailers = tuple(call.trailing_metadata() or ())
    found = {name: value for name, value in trailers if name in {ORIGIN, REFUSAL}}
    # A watched call is asked on grpc's own thread, where asking for headers that
    # have not come yet would wait for ever.
    headers_seen = not watched and bool(call.initial_metadata())
    cancelled_by: CancelledBy | None = None
    if code == "CANCELLED":
        cancelled_by = "caller" if call.cancelled() else "peer"
    attempt.settle(
        code,
        now,
        cancelled_by=cancelled_by,
        headers_seen=headers_seen,
        messages=messages,
        origin=found.get(ORIGIN),
        refusal=found.get(REFUSAL),
    )
    if cancelled_by == "caller":
        return None
    return Failure(
        code=code,
        timed_out=attempt.ran_out(now - attempt.started),
        headers_seen=headers_seen or bool(messages),
        origin=found.get(ORIGIN),
        refusal=found.get(REFUSAL),
        pushback=tuple(value for name, value in trailers if name == PUSHBACK),
    )


def watch(slot: Slot, attempt: Attempt, call: Any, *, counts: Any = None) -> None:
    """Tell how *call* ends once it has, without keeping it alive until then.

    A caller who drops a stream half-read ends it by dropping it: a reference
    of ours would keep the stream, and the permit, for ever. *counts* tells how
    many messages were seen, and takes a failure that its reader may still mend.
    """
    dropped = weakref.ref(call)

    def tell() -> None:
        if attempt.settled:
            return
        messages = None if counts is None else counts.messages
        alive = dropped()
        if alive is None:
            now = slot.chain.clock()
            attempt.settle("CANCELLED", now, cancelled_by="caller", messages=messages)
            return
        failure = settle(slot, attempt, alive, watched=True, messages=messages)
        if failure is None:
            return
        if counts is not None and counts.renewable and not failure.headers_seen:
            counts.failure = failure
        else:
            slot.failed(failure, None, attempt=1, ends_at=None)

    finished = tell if counts is None else counts.watched(tell)
    if not call.add_callback(finished):
        finished()
