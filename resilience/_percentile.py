"""Percentiles of recent latencies in constant memory.

A histogram with buckets that grow by 10 % (as HdrHistogram and DDSketch do it), so a
value is at most 5 % wrong; two halves that take turns make it forget.
"""

import math
import threading
import time
from collections.abc import Callable

_SMALLEST_S = 1e-6
_GROWTH = math.log(1.1)
_BUCKETS = 256
# How long a value that was worked out may be told again.
_REUSE_S = 0.1


class Percentiles:
    """Latencies of the last *window_s* to twice *window_s* seconds.

    Nothing is told before *least* of them are known. Safe between threads.
    """

    def __init__(
        self,
        *,
        window_s: float = 15.0,
        least: int = 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # So put that nan is refused too.
        if not (window_s > 0 and least >= 1):
            raise ValueError("window_s and least must be more than 0")
        self._window_s = window_s
        self._least = least
        self._clock = clock
        self._lock = threading.Lock()
        self._now = [0] * _BUCKETS
        self._before = [0] * _BUCKETS
        self._counts = [0, 0]
        self._turn_at = clock() + window_s
        self._told: dict[float, tuple[float, float | None]] = {}

    def record(self, seconds: float) -> None:
        """Take in one latency; what is beyond the buckets counts as the last one.

        Give it also how long an attempt had run that lost against its hedge: it would
        have taken at least that. Left out, the slow calls would vanish from the very
        percentile that found them slow, and hedges would be sent ever earlier.
        """
        index = 0
        if seconds > _SMALLEST_S:
            index = int(min(math.log(seconds / _SMALLEST_S) / _GROWTH, _BUCKETS - 1))
        with self._lock:
            self._turn(self._clock())
            self._now[index] += 1
            self._counts[0] += 1

    def value(self, fraction: float) -> float | None:
        """Return the latency in seconds that *fraction* of the calls stay within.

        None while too few are known. Raises ValueError outside of (0, 1).
        """
        if not 0 < fraction < 1:
            raise ValueError("a percentile is asked for as a fraction in (0, 1)")
        now = self._clock()
        with self._lock:
            told = self._told.get(fraction)
            if told is not None and 0 <= now - told[0] < _REUSE_S:
                return told[1]
            self._turn(now)
            found = self._find(fraction)
            if len(self._told) > 16:
                self._told.clear()
            self._told[fraction] = (now, found)
            return found

    def _find(self, fraction: float) -> float | None:
        total = sum(self._counts)
        if total < self._least:
            return None
        wanted = math.ceil(fraction * total)
        seen = 0
        for index in range(_BUCKETS):
            seen += self._now[index] + self._before[index]
            if seen >= wanted:
                break
        # The middle of the bucket, by ratio.
        return _SMALLEST_S * math.exp((index + 0.5) * _GROWTH)

    def _turn(self, now: float) -> None:
        if now < self._turn_at:
            return
        long_ago = now >= self._turn_at + self._window_s
        self._before = [0] * _BUCKETS if long_ago else self._now
        self._counts = [0, 0 if long_ago else self._counts[0]]
        self._now = [0] * _BUCKETS
        # When it was due, not when it came: or calls of long ago would stay.
        self._turn_at = (now if long_ago else self._turn_at) + self._window_s

    def __repr__(self) -> str:
        return f"<Percentiles of {sum(self._counts)} latencies>"
