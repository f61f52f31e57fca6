"""Sliding windows of call results, by count and by time, in constant time a call.

The algorithms are resilience4j's (FixedSizeSlidingWindowMetrics and
SlidingTimeWindowMetrics): a running total, and a ring to subtract from.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

_FAILED = 1
_SLOW = 2


class Window(Protocol):
    """Totals over the most recent calls."""

    calls: int
    failed: int
    slow: int

    def add(self, *, failed: bool, slow: bool) -> None:
        """Take in one ended call."""

    def refresh(self) -> None:
        """Drop what has slid out of the window by now."""


class CountWindow:
    """The last *size* calls."""

    __slots__ = ("_ring", "_size", "calls", "failed", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._ring: deque[int] = deque()
        self.calls = 0
        self.failed = 0
        self.slow = 0

    def add(self, *, failed: bool, slow: bool) -> None:
        """Take in one ended call, and forget the oldest when full."""
        ring = self._ring
        if self.calls == self._size:
            oldest = ring.popleft()
            if oldest & _FAILED:
                self.failed -= 1
            if oldest & _SLOW:
                self.slow -= 1
        else:
            self.calls += 1
        bits = 0
        if failed:
            bits = _FAILED
            self.failed += 1
        if slow:
            bits |= _SLOW
            self.slow += 1
        ring.append(bits)

    def refresh(self) -> None:
        """Nothing leaves this window but by a newer call."""


class TimeWindow:
    """The calls of the last *seconds* seconds, in buckets of one second."""

    __slots__ = ("_buckets", "_clock", "_seconds", "calls", "failed", "slow")

    def __init__(self, seconds: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        # Each bucket is [second, calls, failed, slow]; the newest is the last.
        self._buckets: deque[list[int]] = deque()
        self.calls = 0
        self.failed = 0
        self.slow = 0

    def add(self, *, failed: bool, slow: bool) -> None:
        """Take in one ended call, in the bucket of the current second."""
        second = int(self._clock())
        self._drop(second)
        buckets = self._buckets
        if not buckets or buckets[-1][0] != second:
            buckets.append([second, 0, 0, 0])
        bucket = buckets[-1]
        bucket[1] += 1
        self.calls += 1
        if failed:
            bucket[2] += 1
            self.failed += 1
        if slow:
            bucket[3] += 1
            self.slow += 1

    def refresh(self) -> None:
        """Drop the buckets that are too old by now."""
        self._drop(int(self._clock()))

    def _drop(self, second: int) -> None:
        oldest = second - self._seconds
        buckets = self._buckets
        while buckets and buckets[0][0] <= oldest:
            _, calls, failed, slow = buckets.popleft()
            self.calls -= calls
            self.failed -= failed
            self.slow -= slow
