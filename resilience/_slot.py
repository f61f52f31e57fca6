"""The policies and the state of one method of one target, in their order."""

import contextlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from resilience._attempt import Attempt
from resilience._breaker import CircuitBreaker
from resilience._call_fallback import CallFallback
from resilience._deadline import CURRENT
from resilience._downstream import DOWNSTREAM
from resilience._errors import DeadlineSpentError, ResilienceError
from resilience._events import (
    CallRefused,
    DeadlineRefused,
    RetryRefused,
    RetryScheduled,
    emit,
)
from resilience._hedge import ExtraLoad
from resilience._percentile import Percentiles
from resilience._policy import ClientPolicy
from resilience._retry import STOP, RetryState, parse_pushback

if TYPE_CHECKING:
    from resilience._chain import Chain

MAX_CONTEXTS = 1024

Reason = Literal["budget", "attempts", "deadline", "pushback", "committed"]


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
    """What one method's calls pass, and what is known of them."""

    breaker: CircuitBreaker | None = None
    fallback: CallFallback | None = None
    latencies: Percentiles | None = None
    extra_load: ExtraLoad | None = None
    # The coalescer of this method; each adapter has its own kind.
    coalescer: Any = None

    def __init__(self, chain: "Chain", method: str) -> None:
        self.chain = chain
        self.method = method
        self._contexts: OrderedDict[str, CircuitBreaker] = OrderedDict()

    def configure(self, policy: ClientPolicy) -> None:
        """Follow *policy*; what has not changed in it keeps its state."""
        chain = self.chain
        plan = policy.for_method(self.method)
        self.target = plan.target
        name = f"{plan.target}{self.method}"
        held, wanted = self.breaker, plan.breaker
        if wanted is None:
            self.breaker = None
        elif held is None or held.config != wanted or held.name != name:
            self.breaker = CircuitBreaker(
                name, wanted, clock=chain.clock, listener=chain.listener, rng=chain.rng
            )
            self._contexts.clear()
        self.breaker_key = None if wanted is None else plan.breaker_key
        self.bucket = chain.bucket(plan)
        own = plan.bulkhead != policy.bulkhead
        self.bulkhead = chain.bulkhead(plan, name if own else plan.target)
        own = plan.limit != policy.limit
        self.limiter = chain.limiter(plan, name if own else plan.target)
        self.throttle = chain.throttle(plan)
        self._follow_fallback(plan)
        measured = plan.needs_percentile is not None or (
            plan.hedge is not None and plan.hedge.percentile is not None
        )
        if not measured:
            self.latencies = None
        elif self.latencies is None:
            self.latencies = Percentiles(clock=chain.clock)
        self.hedge = plan.hedge
        if plan.hedge is None:
            self.extra_load = None
        elif self.extra_load is None or self.extra_load.config != plan.hedge:
            self.extra_load = ExtraLoad(plan.hedge)
        self.retry = plan.retry
        self.coalesce = plan.coalesce
        if plan.coalesce is None:
            self.coalescer = None
        self.criticality = plan.criticality
        self.tells_criticality = plan.propagate_criticality
        # What the usual call need not be asked about.
        self.plain = plan.fallback is None and plan.coalesce is None
        self.simple = (
            self.plain
            and chain.observer is None
            and self.limiter is None
            and self.throttle is None
            and self.latencies is None
            and self.breaker_key is None
            and plan.hedge is None
            and plan.criticality is None
            and (plan.retry is None or plan.retry.attempt_timeout_s is None)
        )
        self.plan = plan
        self.policy = policy

    def _follow_fallback(self, plan: ClientPolicy) -> None:
        held, wanted = self.fallback, plan.fallback
        if wanted is None:
            self.fallback = None
        elif held is None or held.config != wanted or held.target != plan.target:
            self.fallback = CallFallback(
                plan.target,
                self.method,
                wanted,
                clock=self.chain.clock,
                listener=self.chain.listener,
            )

    def timeout(self, asked: float | None, *, streaming: bool) -> float | None:
        """Return the seconds this call may take, None for no bound.

        Raises DeadlineSpentError when nothing is left of the current deadline, or
        less than the method needs.
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
        if timeout is not None and not streaming:
            needs = plan.needs_s or 0.0
            if plan.needs_percentile is not None and self.latencies is not None:
                needs = max(needs, self.latencies.value(plan.needs_percentile) or 0.0)
            if timeout < needs:
                raise self._spent(timeout)
        return timeout

    def attempt_timeout(self, left: float | None) -> float | None:
        """Return the seconds one attempt may take, of the *left* of the whole call."""
        retry = self.retry
        if retry is None or retry.attempt_timeout_s is None:
            return left
        if left is None:
            return retry.attempt_timeout_s
        return min(left, retry.attempt_timeout_s)

    def begin(
        self,
        timeout_s: float | None,
        *,
        streaming: bool,
        request: Any = None,
        metadata: Any = None,
    ) -> Attempt:
        """Pass breaker, limit and throttle; the bulkhead is still to be entered.

        Raises CircuitOpenError, LimitReachedError, ThrottledError.
        """
        attempt = Attempt(timeout_s, streaming=streaming)
        attempt.latencies = self.latencies
        breaker = self.breaker
        try:
            if breaker is not None:
                if self.breaker_key is not None:
                    breaker = self._of_context(breaker, request, metadata)
                attempt.permit = breaker.acquire()
                attempt.breaker = breaker
            # Read once: another thread may just follow a new policy.
            limiter, throttle = self.limiter, self.throttle
            if limiter is not None:
                attempt.place = limiter.acquire()
                attempt.limiter = limiter
            if throttle is not None:
                throttle.admit()
                attempt.throttle = throttle
        except ResilienceError as error:
            self.refused(attempt, error)
            raise
        return attempt

    def _of_context(
        self, breaker: CircuitBreaker, request: Any, metadata: Any
    ) -> CircuitBreaker:
        assert self.breaker_key is not None
        context = self.breaker_key(request, metadata)
        if context is None:
            return breaker
        contexts = self._contexts
        found = contexts.get(context)
        if found is not None:
            # Another thread may have dropped it meanwhile.
            with contextlib.suppress(KeyError):
                contexts.move_to_end(context)
        else:
            found = CircuitBreaker(
                f"{breaker.name}[{context}]",
                breaker.config,
                clock=self.chain.clock,
                listener=self.chain.listener,
                rng=self.chain.rng,
            )
            # setdefault: another thread may have been first.
            found = contexts.setdefault(context, found)
            while len(contexts) > MAX_CONTEXTS:
                contexts.popitem(last=False)
        return found

    def waited(self, attempt: Attempt, since: float) -> None:
        """Take what *attempt* waited for its place since *since* off its time.

        Raises DeadlineSpentError, and gives everything back, when none is left.
        """
        attempt.waited_s = self.chain.clock() - since
        if attempt.timeout_s is None:
            return
        left = attempt.timeout_s - attempt.waited_s
        if left <= 0:
            attempt.abandon()
            raise self._spent(left)
        attempt.timeout_s = _on_the_wire(left)

    def breakers(self) -> list[CircuitBreaker]:
        """Return the method's breaker and those of its contexts."""
        found = list(self._contexts.values())
        return found if self.breaker is None else [self.breaker, *found]

    def refused(self, attempt: Attempt, error: ResilienceError) -> None:
        """Give back what *attempt* took, and tell of the refusal."""
        attempt.abandon()
        self.note_refusal(error)

    def note_refusal(self, error: ResilienceError) -> None:
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

    def fell_back(self, reason: str) -> None:
        """Tell that the caller gets a second best answer."""
        if self.fallback is not None:
            self.fallback.served(reason)
        request = DOWNSTREAM.get()
        if request is not None:
            request.fell_back(self.target)

    def succeeded(self) -> None:
        """Give the retry budget what a success is worth."""
        if self.bucket is not None:
            self.bucket.succeeded()

    def retryable(self, failure: Failure) -> bool:
        """Whether such a failure may be tried again at all."""
        retry = self.retry
        return retry is not None and (
            failure.code in retry.retry_on
            or (failure.code == "DEADLINE_EXCEEDED" and failure.timed_out)
        )

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
        code = failure.code
        delay: float | None = None
        no_retry = False
        retryable = self.retryable(failure)
        pushback = parse_pushback(failure.pushback)
        if retryable or pushback == STOP:
            allowed = self.bucket.failed() if self.bucket is not None else True
            no_retry = not allowed or pushback == STOP
            if retryable and state is not None:
                delay, reason = self._next(failure, state, pushback, ends_at, allowed)
                event: RetryRefused | RetryScheduled
                if reason is not None:
                    event = RetryRefused(
                        target=self.target,
                        method=self.method,
                        attempt=attempt,
                        reason=reason,
                        code=code,
                    )
                else:
                    event = RetryScheduled(
                        target=self.target,
                        method=self.method,
                        attempt=attempt,
                        delay_s=delay or 0.0,
                        code=code,
                    )
                emit(self.chain.listener, event)
        if delay is None:
            self.note_failure(failure, no_retry=no_retry)
        return delay

    def note_failure(self, failure: Failure, *, no_retry: bool) -> None:
        """Write a final failure into the record of the request at hand."""
        request = DOWNSTREAM.get()
        if request is not None:
            request.note(
                failure.code,
                origin=failure.origin or self.target,
                refusal=failure.refusal,
                no_retry=no_retry,
            )

    def _next(
        self,
        failure: Failure,
        state: RetryState,
        pushback: float | None,
        ends_at: float | None,
        allowed: bool,  # noqa: FBT001  # private, named at the only call
    ) -> tuple[float | None, Reason | None]:
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
        return delay, None

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
