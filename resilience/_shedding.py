"""Who is turned away first when there is too much to do: the least critical.

Two means. Each level may fill a share of the limit only, so that a sudden crowd of
unimportant calls leaves room at once; and while the limit is met, a rising part of all
calls is refused by rank: the threshold is that quantile of the ranks seen last, as in
failsafe-go's prioritizer and, before it, WeChat's DAGOR (Zhou et al., SoCC 2018).
"""

import random
import threading
import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from resilience._criticality import Criticality
from resilience._limiter import AdaptiveLimiter, Place

_LEVELS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SheddingConfig:
    """Shares of the limit by criticality, and how quickly the threshold moves.

    *sheddable_share* and *sheddable_plus_share* are fractions of the limit that
    these may fill; the critical ones may fill all of it. The threshold is worked out
    anew every *interval_s* seconds from the ranks of the last *memory* calls.
    """

    sheddable_share: float = 0.8
    sheddable_plus_share: float = 0.9
    interval_s: float = 0.1
    memory: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.sheddable_share <= self.sheddable_plus_share <= 1:
            raise ValueError(
                "0 < sheddable_share <= sheddable_plus_share <= 1 must hold"
            )
        if self.interval_s <= 0:
            raise ValueError("interval_s must be more than 0 seconds")
        if self.memory < 10:
            raise ValueError("memory must be at least 10 calls")


class Shedder:
    """Admits calls to a limiter by their criticality. Safe between threads."""

    def __init__(
        self,
        limiter: AdaptiveLimiter,
        config: SheddingConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.config = config
        self._limiter = limiter
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  # spreads refusals, no secret
        self._lock = threading.Lock()
        self._shares = (
            config.sheddable_share,
            config.sheddable_plus_share,
            1.0,
            1.0,
        )
        self._ranks: deque[int] = deque()
        self._sorted: list[int] = []
        self._next = clock() + config.interval_s
        self._offered = 0
        self._full = 0
        self.rate = 0.0
        self.threshold = 0

    def admit(self, criticality: Criticality) -> Place | None:
        """Return a place below the limit, None when the call is to be shed."""
        # Within a level chance decides; else a threshold would cut whole levels.
        rank = criticality.rank * _LEVELS + self._rng.randrange(_LEVELS)
        with self._lock:
            self._remember(rank)
            now = self._clock()
            if now >= self._next:
                self._adapt(now)
            self._offered += 1
            if rank < self.threshold:
                return None
        place = self._limiter.try_acquire(self._shares[criticality.rank])
        if place is None:
            with self._lock:
                self._full += 1
        return place

    def _remember(self, rank: int) -> None:
        ranks, ordered = self._ranks, self._sorted
        if len(ranks) >= self.config.memory:
            del ordered[bisect_left(ordered, ranks.popleft())]
        ranks.append(rank)
        insort(ordered, rank)

    def _adapt(self, now: float) -> None:
        """Shed more while the limit turns calls away, less while it does not."""
        if self._full and self._offered:
            self.rate += (1 - self.rate) * self._full / self._offered
        else:
            self.rate *= 0.8
            if self.rate < 0.01:
                self.rate = 0.0
        self.rate = min(self.rate, 0.99)
        self._next = now + self.config.interval_s
        self._offered = self._full = 0
        ordered = self._sorted
        wanted = ordered[int(self.rate * len(ordered))] if self.rate else 0
        # The most critical are never shed by rank, only by a full limit.
        self.threshold = min(wanted, Criticality.CRITICAL_PLUS.rank * _LEVELS)

    def __repr__(self) -> str:
        return f"<Shedder {self.rate:.0%} shed, below rank {self.threshold}>"
