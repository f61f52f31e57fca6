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
    """Totals over the most recent calls.

    Durations are kept in whole microseconds: sums of floats would drift as calls
    come and go.
    """

    calls: int
    failed: int
    slow: int
    total_us: int

    def add(self, *, failed: bool, slow: bool, latency_s: float = 0.0) -> None:
        """Take in one ended call."""

    def refresh(self) -> None:
        """Drop what has slid out of the window by now."""


class CountWindow:
    """The last *size* calls."""

    __slots__ = ("_ring", "_size", "calls", "failed", "slow", "total_us")

    def __init__(self, size: int) -> None:
        self._size = size
        # Each call is one number: its microseconds, and below them two bits.
        self._ring: deque[int] = deque()
        self.calls = 0
        self.failed = 0
        self.slow = 0
        self.total_us = 0

    def add(self, *, failed: bool, slow: bool, latency_s: float = 0.0) -> None:
        """Take in one ended call, and forget the oldest when full."""
        ring = self._ring
        if self.calls == self._size:
            oldest = ring.popleft()
            self.total_us -= oldest >> 2
            if oldest & _FAILED:
                self.failed -= 1
            if oldest & _SLOW:
                self.slow -= 1
        else:
            self.calls += 1
        took_us = int(latency_s * 1e6)
        self.total_us += took_us
        call = took_us << 2
        if failed:
            call |= _FAILED
            self.failed += 1
        if slow:
            call |= _SLOW
            self.slow += 1
        ring.append(call)

    def refresh(self) -> None:
        """Nothing leaves this window but by a newer call."""


class TimeWindow:
    """The calls of the last *seconds* seconds, in buckets of one second."""

    __slots__ = (
        "_buckets",
        "_clock",
        "_seconds",
        "calls",
        "failed",
        "slow",
        "total_us",
    )

    def __init__(self, seconds: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        # Each bucket is [second, calls, failed, slow, microseconds]; the newest is
        # the last.
        self._buckets: deque[list[int]] = deque()
        self.calls = 0
        self.failed = 0
        self.slow = 0
        self.total_us = 0

    def add(self, *, failed: bool, slow: bool, latency_s: float = 0.0) -> None:
        """Take in one ended call, in the bucket of the current second."""
        second = int(self._clock())
        buckets = self._buckets
        if not buckets or buckets[-1][0] != second:
            self._drop(second)
            buckets.append([second, 0, 0, 0, 0])
        bucket = buckets[-1]
        bucket[1] += 1
        self.calls += 1
        took_us = int(latency_s * 1e6)
        bucket[4] += took_us
        self.total_us += took_us
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
            _, calls, failed, slow, took_us = buckets.popleft()
            self.calls -= calls
            self.failed -= failed
            self.slow -= slow
            self.total_us -= took_us
