"""Who is turned away first when there is too much to do: the least critical.

Two means, and neither refuses anybody while there is room:

  * each criticality may fill a share of the limit only: a fixed one at most, so that a
    sudden crowd of unimportant calls leaves room at once, and less where those above
    need more (trunk reservation, see `_reserve`);
  * while calls are turned away, a rising part of all calls counts as low in rank, and
    these may fill but a part of their share. Where low ends is that quantile of the
    ranks seen last, as in failsafe-go's prioritizer and, before it, WeChat's DAGOR
    (Zhou et al., SoCC 2018).
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from resilience._criticality import LEVELS, Criticality
from resilience._lag import StandingQueue
from resilience._limiter import AdaptiveLimiter, Place
from resilience._reserve import Reserve

# So many calls more are taken as served: one refusal of one call is no overload.
_DOUBT = 10

# The part of the rate that is left after an interval in which nobody was turned away.
_DECAY = 0.8

# How much more is shed for each interval that a queue stood.
_QUEUE_STEP = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SheddingConfig:
    """Shares of the limit by criticality, and how quickly the threshold moves.

    *sheddable_share* and *sheddable_plus_share* are fractions of the limit that
    these may fill at most, the critical ones all of it. Each leaves free what those
    above it need to find a place in *protected* of their calls, whatever the crowd
    below them, if they do not fill the limit by themselves. A call whose rank is below
    the threshold may fill *low_share* of its criticality's share. The threshold is
    worked out anew every *interval_s* seconds from the ranks of the last *memory*
    calls. Where every call waited for at least *queue_target_s* seconds through an
    interval, there is too much to do whatever the limit says. Raises ValueError.
    """

    sheddable_share: float = 0.8
    sheddable_plus_share: float = 0.9
    protected: float = 0.998
    low_share: float = 0.8
    interval_s: float = 0.1
    memory: int = 1000
    queue_target_s: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.sheddable_share <= self.sheddable_plus_share <= 1:
            raise ValueError(
                "0 < sheddable_share <= sheddable_plus_share <= 1 must hold"
            )
        if not 0 <= self.protected < 1:
            raise ValueError("protected must be in [0, 1)")
        if not 0 < self.low_share <= 1:
            raise ValueError("low_share must be in (0, 1]")
        if self.interval_s <= 0:
            raise ValueError("interval_s must be more than 0 seconds")
        if self.memory < 10:
            raise ValueError("memory must be at least 10 calls")
        if self.queue_target_s <= 0:
            raise ValueError("queue_target_s must be more than 0 seconds")


class Shedder:
    """Admits calls to a limiter by their criticality. Safe between threads.

    Work may queue before the limit sees it, as before a pool of fewer threads than the
    limit has places. As long as such a queue stands, low ranks are refused outright.
    """

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
        self._queue = StandingQueue(
            target_s=config.queue_target_s, interval_s=config.interval_s, clock=clock
        )
        self._queueing = False
        self._lock = threading.Lock()
        self._reserve = Reserve(
            (config.sheddable_share, config.sheddable_plus_share, 1.0, 1.0),
            config.protected,
        )
        self._ranks: deque[int] = deque()
        # How often each rank is among the remembered: no search on a call's path.
        self._counts = [0] * (len(Criticality) * LEVELS)
        self._adapted_at = clock()
        self._offered = 0
        self._full = 0
        self.rate = 0.0
        self.threshold = 0

    def admit(
        self,
        criticality: Criticality,
        level: int | None = None,
        *,
        waited_s: float | None = None,
    ) -> Place | None:
        """Return a place below the limit, None when the call is to be shed.

        *level*, 0 to 99, ranks calls of one criticality. Without it they are alike,
        and none gives way to another before the limit is met: chance would only
        waste places. *waited_s* is how long the call was queued before, if known.
        """
        floor = criticality.rank * LEVELS
        # Spread in the memory, lest those without a level outrank all that have one.
        spread = int(self._rng.random() * LEVELS) if level is None else level
        with self._lock:
            self._remember(floor + spread)
            if waited_s is not None:
                self._queue.record(waited_s)
            now = self._clock()
            if now - self._adapted_at >= self.config.interval_s:
                self._adapt(now)
            low = floor + (LEVELS - 1 if level is None else level) < self.threshold
            if self._queueing and floor + spread < self.threshold:
                self._reserve.refused(criticality.rank)
                return None
            if not low:
                self._offered += 1
            share = self._reserve.shares[criticality.rank]
        if low:
            share *= self.config.low_share
        place = self._limiter.try_acquire(share, criticality.rank)
        if place is None:
            with self._lock:
                self._reserve.refused(criticality.rank)
                self._full += not low
        return place

    def _remember(self, rank: int) -> None:
        ranks, counts = self._ranks, self._counts
        if len(ranks) >= self.config.memory:
            counts[ranks.popleft()] -= 1
        ranks.append(rank)
        counts[rank] += 1

    def _adapt(self, now: float) -> None:
        """Shed more while calls of high rank are turned away, less while none are."""
        intervals = (now - self._adapted_at) / self.config.interval_s
        self._adapted_at = now
        refused = self._full / (self._offered + _DOUBT)
        self._offered = self._full = 0
        limiter = self._limiter
        self._reserve.adapt(limiter.kinds, limiter.limit, intervals)
        self._queueing = self._queue.overloaded
        if self._queueing:
            refused = max(refused, _QUEUE_STEP)
        self.rate += (1 - self.rate) * refused
        # Whoever was counted came within the first interval; since then all was quiet.
        self.rate *= _DECAY ** (intervals - 1 if refused else intervals)
        if self.rate < 0.01:
            self.rate = 0.0
        self.rate = min(self.rate, 0.99)
        # The most critical are never shed by rank, only by a full limit.
        top = Criticality.CRITICAL_PLUS.rank * LEVELS
        self.threshold = min(self._quantile(self.rate), top)

    def _quantile(self, part: float) -> int:
        """Return the rank below which *part* of the remembered calls are."""
        if not part:
            return 0
        wanted, seen = part * len(self._ranks), 0
        for rank, count in enumerate(self._counts):
            seen += count
            if seen > wanted:
                return rank
        return len(self._counts)

    def __repr__(self) -> str:
        return f"<Shedder {self.rate:.0%} shed, below rank {self.threshold}>"
