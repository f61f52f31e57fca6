"""Shares of one limit for several kinds of callers, that lend what they do not use.

The partitions of Netflix' concurrency-limits (AbstractPartitionedLimiter).
"""

import math
import threading
from collections.abc import Mapping

from resilience._errors import LimitReachedError
from resilience._limiter import AdaptiveLimiter, LimitOutcome, Place


class PartitionPlace:
    """A call's place in a partition; given back once."""

    __slots__ = ("partition", "place")

    def __init__(self, partition: str, place: Place) -> None:
        self.partition = partition
        self.place = place


class Partitions:
    """Divides a limiter's places by name. Safe between threads.

    While there is room, every partition may take it. When there is none, a partition
    that has less than its share still gets it, so that what others borrowed is paid
    back at once: the sum may pass the limit until their calls end. A name that is not
    in *shares* has one place. Raises ValueError for shares that are no parts of one.
    """

    def __init__(self, limiter: AdaptiveLimiter, shares: Mapping[str, float]) -> None:
        if not shares or any(not 0 < share <= 1 for share in shares.values()):
            raise ValueError("each partition's share must be in (0, 1]")
        if sum(shares.values()) > 1 + 1e-9:
            raise ValueError("the shares of all partitions must not exceed 1")
        self._limiter = limiter
        self._shares = dict(shares)
        # The unknown names share one counter, lest a caller's names fill the memory.
        self._taken = dict.fromkeys(["", *shares], 0)
        self._lock = threading.Lock()

    def limit(self, partition: str) -> int:
        """Return how many places *partition* has for certain."""
        share = self._shares.get(partition, 0.0)
        # Rounded first: 0.07 * 100 is a little more than 7.
        return max(1, math.ceil(round(self._limiter.limit * share, 9)))

    def in_flight(self, partition: str) -> int:
        """Return how many places *partition* has taken."""
        return self._taken[self._known(partition)]

    def acquire(self, partition: str) -> PartitionPlace:
        """Take a place. Raises LimitReachedError, at once, when there is none."""
        place = self.try_acquire(partition)
        if place is None:
            name = f"{self._limiter.name}[{partition}]"
            raise LimitReachedError(name, self.limit(partition))
        return place

    def try_acquire(self, partition: str) -> PartitionPlace | None:
        """Take a place, or return None when there is none."""
        known = self._known(partition)
        with self._lock:
            place = self._limiter.try_acquire()
            if place is None and self._taken[known] < self.limit(known):
                place = self._limiter.try_acquire(math.inf)
            if place is None:
                return None
            self._taken[known] += 1
            return PartitionPlace(known, place)

    def release(
        self,
        held: PartitionPlace,
        outcome: LimitOutcome,
        *,
        queue_delay_s: float = 0.0,
    ) -> None:
        """Give a place back, as AdaptiveLimiter.release; a second time is ignored."""
        with self._lock:
            if held.place.given_back:
                return
            self._taken[held.partition] -= 1
            self._limiter.release(held.place, outcome, queue_delay_s=queue_delay_s)

    def _known(self, partition: str) -> str:
        return partition if partition in self._shares else ""

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{name or 'others'} {taken}/{self.limit(name)}"
            for name, taken in self._taken.items()
        )
        return f"<Partitions of {self._limiter.name}: {parts}>"
