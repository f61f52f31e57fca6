"""The policies for blocking grpc: one interceptor for a channel, one for a server."""

import random
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

from resilience._admission import Admission
from resilience._attempt import Attempt, AttemptObserver
from resilience._chain import MAX_METHODS, Chain, Failure, Slot
from resilience._errors import BulkheadFullError, ResilienceError
from resilience._events import Listener
from resilience._outcome import CancelledBy
from resilience._policy import ClientPolicySource, ServerPolicySource
from resilience._wire import ORIGIN, PREVIOUS_ATTEMPTS, PUSHBACK, REFUSAL
from resilience.server_handlers import rebuild, wrap_blocking
from resilience.sync_calls import ended


class _DetailFields(NamedTuple):
    method: Any
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Details(_DetailFields, grpc.ClientCallDetails):
    """The call details that blocking grpc reads by attribute."""


def _details(slot: Slot, details: Any, attempt: Attempt, number: int) -> Any:
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
        metadata = tuple(items)
    attempt.started = slot.chain.clock()
    return _Details(
        details.method,
        attempt.timeout_s,
        metadata,
        details.credentials,
        details.wait_for_ready,
        getattr(details, "compression", None),
    )


def _enter(slot: Slot, attempt: Attempt) -> None:
    bulkhead = slot.bulkhead
    if bulkhead is None:
        return
    try:
        bulkhead.enter_blocking(attempt.timeout_s)
    except BulkheadFullError as error:
        slot.full(attempt, error)
        raise
    except BaseException:
        attempt.settle(None, slot.chain.clock())
        raise
    attempt.bulkhead = bulkhead


def _settle(
    slot: Slot, attempt: Attempt, call: Any, *, watched: bool = False
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
        attempt.settle("OK", now)
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
        origin=found.get(ORIGIN),
        refusal=found.get(REFUSAL),
    )
    if cancelled_by is not None:
        return None
    return Failure(
        code=code,
        timed_out=attempt.timeout_s is not None
        and now - attempt.started >= attempt.timeout_s - 0.005,
        headers_seen=headers_seen,
        origin=found.get(ORIGIN),
        refusal=found.get(REFUSAL),
        pushback=tuple(value for name, value in trailers if name == PUSHBACK),
    )


def _watch(slot: Slot, attempt: Attempt, call: Any) -> None:
    """Tell how *call* ends once it has, without keeping it alive until then.

    A caller who drops a stream half-read ends it by dropping it: a reference
    of ours would keep the stream, and the permit, for ever.
    """
    dropped = weakref.ref(call)

    def finished() -> None:
        alive = dropped()
        if alive is None:
            now = slot.chain.clock()
            attempt.settle("CANCELLED", now, cancelled_by="caller")
            return
        failure = _settle(slot, attempt, alive, watched=True)
        if failure is not None:
            slot.failed(failure, None, attempt=1, ends_at=None)

    if not call.add_callback(finished):
        finished()


class ClientChain(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """The client chain for all four call kinds."""

    def __init__(
        self, chain: Chain, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.chain = chain
        self._sleep = sleep

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Make the call, and make it again where the policy says so.

        One that was asked for as a future is made once: waiting to repeat it
        would block its caller.
        """
        slot = self.chain.slot(client_call_details.method)
        state = None
        ends_at: float | None = None
        left: float | None = None
        number = 1
        while True:
            try:
                if number == 1:
                    left = slot.timeout(client_call_details.timeout, streaming=False)
                attempt = slot.begin(slot.attempt_timeout(left), streaming=False)
                _enter(slot, attempt)
            except ResilienceError as error:
                return ended(error)
            call = self._send(
                slot, continuation, client_call_details, request, attempt, number
            )
            if hasattr(type(call), "__next__"):
                _watch(slot, attempt, call)
                return call
            failure = _settle(slot, attempt, call)
            if failure is None:
                return call
            if number == 1:
                state = self.chain.retries(slot, attempt.started)
                ends_at = None if left is None else attempt.started + left
            delay = slot.failed(failure, state, attempt=number, ends_at=ends_at)
            if delay is None:
                return call
            self._sleep(delay)
            number += 1
            left = None if ends_at is None else ends_at - self.chain.clock()

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Make the call and watch it to its end."""
        return self._once(continuation, client_call_details, request, streaming=True)

    def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Make the call and watch it to its end."""
        return self._once(
            continuation, client_call_details, request_iterator, streaming=False
        )

    def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Make the call and watch it to its end."""
        return self._once(
            continuation, client_call_details, request_iterator, streaming=True
        )

    def _once(
        self, continuation: Any, details: Any, request: Any, *, streaming: bool
    ) -> Any:
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=streaming)
            attempt = slot.begin(timeout, streaming=streaming)
            _enter(slot, attempt)
        except ResilienceError as error:
            return ended(error)
        call = self._send(slot, continuation, details, request, attempt, 1)
        if hasattr(type(call), "__next__"):
            _watch(slot, attempt, call)
        else:
            failure = _settle(slot, attempt, call)
            if failure is not None:
                slot.failed(failure, None, attempt=1, ends_at=None)
        return call

    def _send(
        self,
        slot: Slot,
        continuation: Any,
        details: Any,
        request: Any,
        attempt: Attempt,
        number: int,
    ) -> Any:
        try:
            return continuation(_details(slot, details, attempt, number), request)
        except BaseException:
            attempt.settle(None, self.chain.clock())
            raise

    def __repr__(self) -> str:
        return f"<ClientChain {self.chain.breakers()}>"


class ServerChain(grpc.ServerInterceptor):
    """Sets the current deadline, bounds the calls served, names origins."""

    def __init__(
        self, source: ServerPolicySource, *, listener: Listener | None = None
    ) -> None:
        self.admission = Admission(source, listener=listener)
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler with the policies around it."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        held = self._wrapped.get(method)
        if held is not None and held[0] is handler:
            return held[1]
        wrapped = rebuild(
            handler,
            lambda behaviour: wrap_blocking(
                self.admission, behaviour, method, streams=handler.response_streaming
            ),
        )
        # A generic handler may answer to any name.
        if len(self._wrapped) >= MAX_METHODS:
            self._wrapped.clear()
        self._wrapped[method] = (handler, wrapped)
        return wrapped

    def __repr__(self) -> str:
        return f"<ServerChain {self.admission.in_flight} in flight>"


def client_interceptors(
    policy: ClientPolicySource,
    *,
    listener: Listener | None = None,
    observer: AttemptObserver | None = None,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[ClientChain]:
    """Return the interceptor for ``grpc.intercept_channel(channel, *these)``.

    *policy* is a value or a callable that is asked once per call.
    """
    chain = Chain(policy, listener=listener, observer=observer, clock=clock, rng=rng)
    return [ClientChain(chain, sleep=sleep)]


def server_interceptor(
    policy: ServerPolicySource, *, listener: Listener | None = None
) -> ServerChain:
    """Return the one interceptor for a server; put it first in the list."""
    return ServerChain(policy, listener=listener)
