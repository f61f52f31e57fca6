"""One attempt from permit to outcome, told exactly once to everybody."""

from typing import Protocol

from resilience._breaker import CircuitBreaker
from resilience._breaker_config import Permit
from resilience._bulkhead import Bulkhead
from resilience._outcome import CancelledBy, Outcome, classify


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
    """Holds what an attempt took, until `settle` gives it back."""

    __slots__ = (
        "breaker",
        "bulkhead",
        "handle",
        "permit",
        "settled",
        "started",
        "streaming",
        "timeout_s",
    )

    def __init__(self, timeout_s: float | None, *, streaming: bool) -> None:
        self.timeout_s = timeout_s
        self.streaming = streaming
        self.breaker: CircuitBreaker | None = None
        self.permit: Permit | None = None
        self.bulkhead: Bulkhead | None = None
        self.handle: AttemptHandle | None = None
        self.started = 0.0
        self.settled = False

    def settle(
        self,
        code: str | None,
        now: float,
        *,
        cancelled_by: CancelledBy | None = None,
        headers_seen: bool = False,
        origin: str | None = None,
        refusal: str | None = None,
    ) -> bool:
        """Tell breaker, bulkhead and observer how it ended.

        Returns False, and does nothing, when that was told before.
        """
        if self.settled:
            return False
        self.settled = True
        latency = now - self.started
        if self.bulkhead is not None:
            self.bulkhead.leave()
        if (
            cancelled_by is None
            and code == "DEADLINE_EXCEEDED"
            and self.timeout_s is not None
            # gRPC's timer and ours are different clocks.
            and latency >= self.timeout_s - 0.005
        ):
            cancelled_by = "deadline"
        if self.permit is not None and self.breaker is not None:
            # A callee that found the deadline spent on arrival did nothing wrong.
            passed_on = origin is not None or refusal == "deadline"
            verdict = classify(code, cancelled_by=cancelled_by, passed_on=passed_on)
            if verdict == "ignored":
                self.breaker.release(self.permit)
            else:
                # How long a stream lives says nothing about how slow the callee is.
                self.breaker.record(
                    self.permit,
                    ok=verdict == "success",
                    latency_s=0.0 if self.streaming else latency,
                )
        if self.handle is not None:
            self.handle.finished(
                Outcome(
                    code=code,
                    latency_s=latency,
                    cancelled_by=cancelled_by,
                    headers_seen=headers_seen,
                    origin=origin,
                    refusal=refusal,
                )
            )
        return True
