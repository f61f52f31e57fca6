"""Places for calls in flight, as many as an algorithm finds bearable.

Windows of samples as in Netflix' WindowedLimit; which outcome teaches what, as in its
gRPC interceptors.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from resilience._errors import LimitReachedError
from resilience._events import LimitChanged, Listener, emit
from resilience._limits import Gradient2Config, LimitAlgorithm, build_limit

LimitOutcome = Literal["success", "dropped", "ignored"]

# A call that short never was in a queue; its latency teaches nothing.
_TOO_SHORT_S = 100e-6


def limit_outcome(code: str, side: Literal["client", "server"]) -> LimitOutcome:
    """Return what a status teaches about the bearable load.

    A refusal that a server's handler passes on is quick, and says nothing of the
    server itself.
    """
    if side == "client":
        if code == "OK":
            return "success"
        overloaded = code in {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
        return "dropped" if overloaded else "ignored"
    if code in {"DEADLINE_EXCEEDED", "CANCELLED"}:
        return "dropped"
    ignored = code in {"UNKNOWN", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    return "ignored" if ignored else "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConfig:
    """Which algorithm finds the limit, and from how much at a time it learns.

    A window has at least *window_s* seconds and *window_calls* calls; the mean of
    their latencies and the most that were in flight are one sample. AIMD learns from
    each call where *window_s* is 0. Dropped calls count in the mean only where they
    took longer than the others: a quick refusal is no sign of a quick callee. The
    window counts as dropped where at least *drop_share* of its calls were: among many
    calls some are cancelled for reasons of their own, hedges' losers for one.
    """

    algorithm: LimitAlgorithm = field(default_factory=Gradient2Config)
    window_s: float = 1.0
    window_calls: int = 10
    drop_share: float = 0.05

    def __post_init__(self) -> None:
        if self.window_s < 0:
            raise ValueError("window_s must not be negative")
        if self.window_calls < 1:
            raise ValueError("window_calls must be at least 1")
        if not 0 < self.drop_share <= 1:
            raise ValueError("drop_share must be in (0, 1]")


class Place:
    """A call's place below the limit; given back once."""

    __slots__ = ("given_back", "in_flight", "kind", "taken_at")

    def __init__(self, taken_at: float, in_flight: int, kind: int) -> None:
        self.taken_at = taken_at
        self.in_flight = in_flight
        self.kind = kind
        self.given_back = False


class AdaptiveLimiter:
    """Counts calls in flight and learns how many are bearable. Safe between threads."""

    def __init__(
        self,
        name: str,
        config: LimitConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.in_flight = 0
        # Of these, how many of each kind; a shedder's are the criticalities' ranks.
        self.kinds = [0, 0, 0, 0]
        self._clock = clock
        self._listener = listener
        self._lock = threading.Lock()
        self._algorithm = build_limit(config.algorithm)
        self._most = 0
        self._ends_at = clock() + config.window_s
        self._begin_window()

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return self._algorithm.value

    def acquire(self, share: float = 1.0) -> Place:
        """Take a place. Raises LimitReachedError, at once, when there is none.

        A *share* below 1 leaves the rest of the limit to others.
        """
        place = self.try_acquire(share)
        if place is None:
            raise LimitReachedError(self.name, self.limit)
        return place

    def try_acquire(self, share: float = 1.0, kind: int = 0) -> Place | None:
        """Take a place, or return None when there is none.

        Calls of each *kind*, 0 to 3, are counted apart too, see `kinds`.
        """
        with self._lock:
            # At least one: a share of a small limit must not starve anybody.
            if self.in_flight >= max(1.0, self._algorithm.value * share):
                return None
            self.in_flight += 1
            self.kinds[kind] += 1
            return Place(self._clock(), self.in_flight, kind)

    def release(
        self, place: Place, outcome: LimitOutcome, *, queue_delay_s: float = 0.0
    ) -> None:
        """Give *place* back with what its call teaches; a second time is ignored.

        *queue_delay_s* is the time before the place was taken: in an executor's
        queue, or waiting for a busy event loop. It counts as latency.
        """
        event = None
        with self._lock:
            if place.given_back:
                return
            place.given_back = True
            self.in_flight -= 1
            self.kinds[place.kind] -= 1
            if outcome == "ignored":
                return
            now = self._clock()
            rtt = now - place.taken_at + queue_delay_s
            dropped = outcome == "dropped"
            if rtt < _TOO_SHORT_S and not dropped:
                return
            if dropped:
                self._drops += 1
                self._drops_s += rtt
            else:
                self._calls += 1
                self._total_s += rtt
            self._most = max(self._most, place.in_flight)
            if now >= self._ends_at and (
                self._calls + self._drops >= self.config.window_calls
                or not self.config.window_s
            ):
                event = self._learn(now)
        if event is not None:
            emit(self._listener, event)

    def _learn(self, now: float) -> LimitChanged | None:
        old = self._algorithm.value
        mean = self._total_s / self._calls if self._calls else 0.0
        if mean and self._drops_s > mean * self._drops:
            mean = (self._total_s + self._drops_s) / (self._calls + self._drops)
        share = self._drops / (self._calls + self._drops)
        dropped = share >= self.config.drop_share
        self._algorithm.update(mean, self._most, dropped=dropped)
        self._ends_at = now + self.config.window_s
        self._begin_window()
        new = self._algorithm.value
        return None if new == old else LimitChanged(name=self.name, old=old, new=new)

    def _begin_window(self) -> None:
        self._calls = 0
        self._total_s = 0.0
        self._drops = 0
        self._drops_s = 0.0
        self._most = 0

    def __repr__(self) -> str:
        return f"<AdaptiveLimiter {self.name} {self.in_flight}/{self.limit} in flight>"
