"""One attempt from permit to outcome, told exactly once to everybody."""

import logging
from contextvars import ContextVar
from typing import Any, Protocol

from resilience._breaker import CircuitBreaker
from resilience._breaker_config import Permit
from resilience._bulkhead import Bulkhead
from resilience._limiter import AdaptiveLimiter, limit_outcome
from resilience._outcome import CancelledBy, Outcome
from resilience._percentile import Percentiles
from resilience._throttle import ClientThrottle

TRIED: ContextVar[set[str] | None] = ContextVar("resilience_tried", default=None)
"""The backends that the call at hand has tried; a balancer below looks elsewhere."""

_LOG = logging.getLogger(__name__)

# The words by which a callee says that it had too much to do.
_OVERLOADED = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})


class AttemptHandle(Protocol):
    """What an observer holds on to for one attempt."""

    def finished(self, outcome: Outcome) -> None:
        """Take the outcome; called exactly once, with how the attempt ended."""


class AttemptObserver(Protocol):
    """Watches single attempts, and may add to the metadata they send."""

    def attempt_started(
        self,
        target: str,
        method: str,
        attempt: int,
        metadata: list[tuple[str, str | bytes]],
    ) -> AttemptHandle:
        """Begin to watch, just before the attempt is sent; *attempt* counts from 1.

        *metadata* is what will be sent, and may be changed in place.
        """


class Attempt:
    """Holds what an attempt took, until `settle` gives it back.

    What it did not take stays the class's None: most calls take little, and an
    object is made for each.
    """

    breaker: CircuitBreaker | None = None
    permit: Permit | None = None
    bulkhead: Bulkhead | None = None
    limiter: AdaptiveLimiter | None = None
    place: Any = None
    throttle: ClientThrottle | None = None
    latencies: Percentiles | None = None
    handle: AttemptHandle | None = None
    started = 0.0
    # In the bulkhead's queue, before it was started; taken off timeout_s.
    waited_s = 0.0
    settled = False
    hedged = False
    superseded = False

    def __init__(self, timeout_s: float | None, *, streaming: bool) -> None:
        self.timeout_s = timeout_s
        self.streaming = streaming

    def settle(
        self,
        code: str | None,
        now: float,
        *,
        cancelled_by: CancelledBy | None = None,
        headers_seen: bool = False,
        messages: int | None = None,
        origin: str | None = None,
        refusal: str | None = None,
    ) -> bool:
        """Tell breaker, bulkhead, limits and observer how it ended.

        Returns False, and does nothing, when that was told before.
        """
        if self.settled:
            return False
        self.settled = True
        latency = now - self.started
        if code == "DEADLINE_EXCEEDED":
            if cancelled_by is None and self.ran_out(latency):
                cancelled_by = "deadline"
        elif code == "CANCELLED" and self.superseded:
            cancelled_by = "hedge"
        self._give_back(code, latency, cancelled_by, messages, origin, refusal)
        if self.handle is not None:
            if messages is None:
                messages = 1 if code == "OK" else 0
            outcome = Outcome(
                code=code,
                latency_s=latency,
                cancelled_by=cancelled_by,
                headers_seen=headers_seen or messages > 0,
                messages_seen=messages,
                origin=origin,
                refusal=refusal,
            )
            try:
                self.handle.finished(outcome)
            except Exception:  # noqa: BLE001  # whatever an observer raises is its own
                _LOG.exception("an observer failed on %r", outcome)
        return True

    def _give_back(
        self,
        code: str | None,
        latency: float,
        cancelled_by: CancelledBy | None,
        messages: int | None,
        origin: str | None,
        refusal: str | None,
    ) -> None:
        if self.bulkhead is not None:
            self.bulkhead.leave()
        if self.permit is not None and self.breaker is not None:
            # A callee that found the deadline spent on arrival did nothing wrong.
            passed_on = origin is not None or refusal == "deadline"
            self.breaker.settle(
                self.permit,
                code,
                # How long a stream lives says nothing about how slow the callee is.
                latency_s=0.0 if self.streaming else latency,
                cancelled_by=cancelled_by,
                passed_on=passed_on,
            )
        if self.limiter is not None:
            known = code is not None and cancelled_by not in {"caller", "hedge"}
            outcome = limit_outcome(code, "client") if known and code else "ignored"
            # A stream that began tells by its end how long it lived, nothing else.
            if self.streaming and (messages or outcome != "dropped"):
                outcome = "ignored"
            self.limiter.release(self.place, outcome)
        if self.throttle is not None:
            self.throttle.finished(accepted=code not in _OVERLOADED or bool(origin))
        if self.latencies is None or self.streaming:
            return
        # A loser was slow: left out, hedging would hide what it is there for.
        if code == "OK" or cancelled_by == "hedge":
            self.latencies.record(latency)

    def delivered(self) -> None:
        """Note a stream's first message: its callee works, which a trial is to tell.

        A trial that tells so only at its end would keep the breaker half-open.
        """
        permit = self.permit
        if permit is not None and permit.trial and self.breaker is not None:
            self.breaker.record(permit, ok=True, latency_s=0.0)

    def ran_out(self, latency_s: float) -> bool:
        """Whether the attempt's own time is up after *latency_s* seconds."""
        # gRPC's timer and ours are different clocks.
        return self.timeout_s is not None and latency_s >= self.timeout_s - 0.005

    def abandon(self) -> None:
        """Give everything back: the attempt was never sent."""
        if self.settled:
            return
        self.settled = True
        if self.bulkhead is not None:
            self.bulkhead.leave()
        if self.breaker is not None and self.permit is not None:
            self.breaker.release(self.permit)
        if self.limiter is not None:
            self.limiter.release(self.place, "ignored")
        if self.throttle is not None:
            # A refusal of our own says nothing against the callee.
            self.throttle.finished(accepted=True)
