"""The client's policies in their order, without the transport.

deadline, then retry, then breaker, then bulkhead, then the attempt. The state
(breakers, buckets, bulkheads) lives here and outlives a change of policy.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from resilience._attempt import Attempt, AttemptObserver
from resilience._breaker import CircuitBreaker
from resilience._budget import TokenBucket
from resilience._bulkhead import Bulkhead
from resilience._deadline import CURRENT
from resilience._downstream import DOWNSTREAM
from resilience._errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineSpentError,
    ResilienceError,
)
from resilience._events import (
    CallRefused,
    DeadlineRefused,
    Listener,
    RetryRefused,
    RetryScheduled,
    emit,
)
from resilience._policy import ClientPolicy, ClientPolicySource
from resilience._retry import STOP, RetryState, parse_pushback

MAX_METHODS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What the transport saw of a failed attempt."""

    code: str
    timed_out: bool = False
    headers_seen: bool = False
    origin: str | None = None
    refusal: str | None = None
    pushback: tuple[str | bytes, ...] = ()


def _on_the_wire(seconds: float) -> float:
    """Round down to what gRPC's timeout header can say.

    gRPC rounds up, to 10 ms from one second on and to 100 ms from ten, which
    would give the next hop a later deadline than this one has.
    """
    if seconds >= 10:
        return math.floor(seconds * 10) / 10
    if seconds >= 1:
        return math.floor(seconds * 100) / 100
    return seconds


class Slot:
    """The policies and the state of one method of one target."""

    __slots__ = (
        "breaker",
        "bucket",
        "bulkhead",
        "chain",
        "method",
        "plan",
        "policy",
        "retry",
        "target",
    )

    def __init__(self, chain: "Chain", method: str) -> None:
        self.chain = chain
        self.method = method
        self.breaker: CircuitBreaker | None = None

    def configure(self, policy: ClientPolicy) -> None:
        """Follow *policy*; what has not changed in it keeps its state."""
        chain = self.chain
        plan = policy.for_method(self.method)
        held, wanted = self.breaker, plan.breaker
        name = f"{plan.target}{self.method}"
        if wanted is None:
            self.breaker = None
        elif held is None or held.config != wanted or held.name != name:
            self.breaker = CircuitBreaker(
                name, wanted, clock=chain.clock, listener=chain.listener
            )
        self.bucket = chain.bucket(plan)
        own = plan.bulkhead != policy.bulkhead
        self.bulkhead = chain.bulkhead(plan, name if own else plan.target)
        self.retry = plan.retry
        self.target = plan.target
        self.plan = plan
        self.policy = policy

    def timeout(self, asked: float | None, *, streaming: bool) -> float | None:
        """Return the seconds this call may take, None for no bound.

        Raises DeadlineSpentError when nothing is left of the current deadline.
        """
        plan = self.plan
        timeout = plan.stream_timeout_s if streaming else plan.timeout_s
        if asked is not None and (timeout is None or asked < timeout):
            timeout = asked
        if plan.propagate_deadline:
            deadline = CURRENT.get()
            if deadline is not None:
                left = deadline.remaining() - plan.reserve_s
                if left <= 0:
                    raise self._spent(left)
                if timeout is None or left < timeout:
                    timeout = _on_the_wire(left)
        return timeout

    def attempt_timeout(self, left: float | None) -> float | None:
        """Return the seconds one attempt may take, of the *left* of the whole call."""
        retry = self.retry
        if retry is None or retry.attempt_timeout_s is None:
            return left
        if left is None:
            return retry.attempt_timeout_s
        return min(left, retry.attempt_timeout_s)

    def begin(self, timeout_s: float | None, *, streaming: bool) -> Attempt:
        """Pass the breaker; the attempt still has to `enter` and to start.

        Raises CircuitOpenError.
        """
        attempt = Attempt(timeout_s, streaming=streaming)
        breaker = self.breaker
        if breaker is not None:
            try:
                attempt.permit = breaker.acquire()
            except CircuitOpenError as error:
                self.refused(error)
                raise
            attempt.breaker = breaker
        return attempt

    def full(self, attempt: Attempt, error: BulkheadFullError) -> None:
        """Give back what *attempt* took; the bulkhead had no place for it."""
        attempt.settled = True
        if attempt.breaker is not None and attempt.permit is not None:
            attempt.breaker.release(attempt.permit)
        self.refused(error)

    def refused(self, error: ResilienceError) -> None:
        """Tell the listener and the request at hand about a refusal of ours."""
        refusal = error.refusal
        event = CallRefused(
            policy=refusal, target=self.target, method=self.method, reason=str(error)
        )
        emit(self.chain.listener, event)
        request = DOWNSTREAM.get()
        if request is not None:
            request.note(
                error.grpc_status, origin=self.target, refusal=refusal, no_retry=True
            )

    def succeeded(self) -> None:
        """Give the retry budget what a success is worth."""
        if self.bucket is not None:
            self.bucket.succeeded()

    def failed(
        self,
        failure: Failure,
        state: RetryState | None,
        *,
        attempt: int,
        ends_at: float | None,
    ) -> float | None:
        """Decide on a failed attempt: seconds to wait before the next, None to stop.

        *state* is None for calls that are never retried. *ends_at* is the
        chain's clock at which the whole call is out of time.
        """
        retry = self.retry
        code = failure.code
        delay: float | None = None
        no_retry = False
        retryable = retry is not None and (
            code in retry.retry_on
            or (code == "DEADLINE_EXCEEDED" and failure.timed_out)
        )
        pushback = parse_pushback(failure.pushback)
        if retryable or pushback == STOP:
            allowed = self.bucket.failed() if self.bucket is not None else True
            no_retry = not allowed or pushback == STOP
            if retryable and state is not None:
                delay, reason = self._next(failure, state, pushback, ends_at, allowed)
                event = (
                    RetryRefused(
                        target=self.target,
                        method=self.method,
                        attempt=attempt,
                        reason=reason,  # type: ignore[arg-type]
                        code=code,
                    )
                    if delay is None
                    else RetryScheduled(
                        target=self.target,
                        method=self.method,
                        attempt=attempt,
                        delay_s=delay,
                        code=code,
                    )
                )
                emit(self.chain.listener, event)
        if delay is None:
            request = DOWNSTREAM.get()
            if request is not None:
                request.note(
                    code,
                    origin=failure.origin or self.target,
                    refusal=failure.refusal,
                    no_retry=no_retry,
                )
        return delay

    def _next(
        self,
        failure: Failure,
        state: RetryState,
        pushback: float | None,
        ends_at: float | None,
        allowed: bool,  # noqa: FBT001  # private, named at the only call
    ) -> tuple[float | None, str]:
        if pushback == STOP:
            return None, "pushback"
        if failure.headers_seen:
            return None, "committed"
        delay = state.next_delay(pushback_s=pushback)
        if delay == STOP:
            return None, "attempts"
        if not allowed:
            return None, "budget"
        if ends_at is not None and self.chain.clock() + delay >= ends_at:
            return None, "deadline"
        return delay, ""

    def _spent(self, left: float) -> DeadlineSpentError:
        event = DeadlineRefused(
            target=self.target, method=self.method, remaining_s=left
        )
        emit(self.chain.listener, event)
        request = DOWNSTREAM.get()
        if request is not None:
            request.note(
                "DEADLINE_EXCEEDED",
                origin=self.target,
                refusal="deadline",
                no_retry=True,
            )
        return DeadlineSpentError(f"{self.target}{self.method}", left)

    def __repr__(self) -> str:
        return f"<Slot {self.target}{self.method} {self.breaker!r}>"


class Chain:
    """All the slots of one client interceptor."""

    def __init__(
        self,
        source: ClientPolicySource,
        *,
        listener: Listener | None = None,
        observer: AttemptObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.listener = listener
        self.observer = observer
        self.clock = clock
        self.rng = rng or random.Random()  # noqa: S311  # spreads retries, no secret
        self._source = source if callable(source) else None
        self._fixed = None if callable(source) else source
        self._slots: dict[str | bytes, Slot] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._bulkheads: dict[str, Bulkhead] = {}

    def slot(self, method: str | bytes) -> Slot:
        """Return the slot of *method*, following the policy as it is now."""
        policy = self._fixed
        if policy is None:
            assert self._source is not None
            policy = self._source()
        slot = self._slots.get(method)
        if slot is not None:
            if slot.policy is not policy:
                if slot.policy == policy:
                    slot.policy = policy
                else:
                    slot.configure(policy)
            return slot
        name = method.decode() if isinstance(method, bytes) else method
        slot = Slot(self, name)
        slot.configure(policy)
        while len(self._slots) >= MAX_METHODS:
            self._slots.pop(next(iter(self._slots)), None)
        self._slots[method] = slot
        return slot

    def retries(self, slot: Slot, started: float) -> RetryState | None:
        """Return the record of a call's retries; made after its first failure."""
        if slot.retry is None:
            return None
        return RetryState(slot.retry, started=started, clock=self.clock, rng=self.rng)

    def bucket(self, plan: ClientPolicy) -> TokenBucket | None:
        """Return the one bucket of the plan's target."""
        config = plan.retry_budget
        if config is None:
            return None
        bucket = self._buckets.get(plan.target)
        if bucket is None:
            bucket = self._buckets[plan.target] = TokenBucket(config)
        elif bucket.config != config:
            bucket.reconfigure(config)
        return bucket

    def bulkhead(self, plan: ClientPolicy, name: str) -> Bulkhead | None:
        """Return the bulkhead called *name*: the target's, or a method's own."""
        config = plan.bulkhead
        if config is None:
            return None
        bulkhead = self._bulkheads.get(name)
        if bulkhead is None:
            bulkhead = self._bulkheads[name] = Bulkhead(name, config)
        elif bulkhead.config != config:
            bulkhead.reconfigure(config)
        return bulkhead

    def breakers(self) -> dict[str, str]:
        """Return the state of every breaker by name, for status pages and tests."""
        return {
            slot.breaker.name: slot.breaker.state
            for slot in list(self._slots.values())
            if slot.breaker is not None
        }
