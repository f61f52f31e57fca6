"""A second attempt while the first still runs, for calls that may be made twice.

When and how often is gRFC A6's hedging policy; a delay by percentile and a bound on
the extra load are Dean and Barroso, "The Tail at Scale" (CACM 2013), the bound kept
as Finagle's backup requests keep theirs: without a floor.
"""

import threading
from dataclasses import dataclass

from resilience._checks import refuse_nan, refuse_unknown
from resilience._retry import STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeConfig:
    """When a call is made a second time, and what that may cost.

    A further attempt is sent *delay_s* seconds after the last one, or once the call
    has taken longer than the fraction *percentile* of the method's recent successes
    (no hedge until 20 of them are known), at least *min_delay_s* later; *attempts* in
    all. Over time at most *extra_load* of the calls are hedged, with up to *burst* at
    once after a quiet time. A failure with one of *non_fatal* sends the next attempt at
    once, which is no extra load where nothing else runs; any other ends the call. A
    method that is hedged is not retried beside. Raises ValueError.
    """

    delay_s: float | None = None
    percentile: float | None = None
    attempts: int = 2
    min_delay_s: float = 0.001
    extra_load: float = 0.05
    burst: float = 10.0
    non_fatal: frozenset[str] = frozenset({"UNAVAILABLE"})

    def __post_init__(self) -> None:
        refuse_nan(self)
        refuse_unknown("non_fatal", self.non_fatal)
        if "OK" in self.non_fatal:
            raise ValueError("OK is the answer, and no failure to go on after")
        if (self.delay_s is None) == (self.percentile is None):
            raise ValueError("a hedge needs delay_s or percentile, and not both")
        if self.delay_s is not None and self.delay_s < 0:
            raise ValueError("delay_s must not be negative")
        if self.percentile is not None and not 0 < self.percentile < 1:
            raise ValueError("percentile must be in (0, 1)")
        if not 2 <= self.attempts <= 5:
            raise ValueError("attempts must be 2 to 5")
        if self.min_delay_s < 0:
            raise ValueError("min_delay_s must not be negative")
        if not 0 < self.extra_load <= self.attempts - 1:
            raise ValueError("extra_load must be in (0, attempts - 1]")
        if self.burst < 1:
            raise ValueError("burst must be at least 1")


class ExtraLoad:
    """How many hedges the calls so far have paid for. Safe between threads."""

    def __init__(self, config: HedgeConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._balance = 0.0

    def called(self) -> None:
        """Pay in for one call."""
        with self._lock:
            self._balance = min(
                self._balance + self.config.extra_load, self.config.burst
            )

    def hedge(self) -> bool:
        """Pay for one hedge; False when that is too much."""
        with self._lock:
            # Sums of 0.05 fall a little short of 1.
            if self._balance < 1 - 1e-9:
                return False
            self._balance -= 1
            return True

    def __repr__(self) -> str:
        return f"<ExtraLoad {self._balance:.2f} hedges left>"


class HedgeState:
    """One hedged call: what is outstanding, and when the next attempt is due.

    *delay_s* None means that no further attempt is due by time alone.
    """

    def __init__(self, config: HedgeConfig, delay_s: float | None) -> None:
        self._config = config
        self._delay_s = delay_s
        self._stopped = False
        self.sent = 0
        self.outstanding = 0
        self.due_at: float | None = None

    def send(self, now: float) -> int:
        """Count an attempt that is being sent; return its number, from 1."""
        self.sent += 1
        self.outstanding += 1
        self._plan(None if self._delay_s is None else now + self._delay_s)
        return self.sent

    def failed(self, code: str, now: float, *, pushback_s: float | None) -> bool:
        """Take in a failed attempt; return whether the whole call has failed.

        It has with a status that is fatal, and when nothing is outstanding or due.
        """
        self.outstanding -= 1
        if code not in self._config.non_fatal:
            return True
        if pushback_s == STOP:
            self.stop()
        else:
            self._plan(now + (pushback_s or 0.0))
        return self.outstanding == 0 and self.due_at is None

    def stop(self) -> None:
        """Send nothing more; what is outstanding goes on."""
        self._stopped = True
        self.due_at = None

    def _plan(self, at: float | None) -> None:
        more = self.sent < self._config.attempts and not self._stopped
        self.due_at = at if more else None

    def __repr__(self) -> str:
        due = "none due" if self.due_at is None else f"next at {self.due_at:.3f}"
        return f"<HedgeState {self.outstanding} of {self.sent} outstanding, {due}>"
