"""How long work waits before it is begun: part of what a server's callers wait.

A loop or a pool of threads that is busy delays every call before its handler runs,
where no handler's own clock can see it. A short wait of some is a burst; a wait of all
is a queue that does not empty: the distinction of CoDel (Nichols and Jacobson,
"Controlling Queue Delay", ACM Queue 2012), which judges the least delay of an interval.
"""

import asyncio
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar

# When blocking gRPC's serving thread met the call, before a pool's thread took it.
ARRIVED: ContextVar[float | None] = ContextVar("resilience_arrived", default=None)


class LoopLag:
    """How late an event loop's timers fire: the worst of the last two intervals.

    `watch` begins on the running loop, and again after a change of loop; it ends with
    `stop`, with this object or with the loop.
    """

    def __init__(
        self,
        *,
        interval_s: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last = 0.0
        self._before = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """The lag, 0 while nothing is watched."""
        # A closed loop fires no timers: they would be more overdue for ever.
        if self._loop is None or self._loop.is_closed():
            return 0.0
        # A timer that is overdue now tells more than the last one that fired.
        overdue = self._clock() - self._due
        return max(self._last, self._before, overdue, 0.0)

    def watch(self) -> None:
        """Begin to measure the running loop, if that is not being done."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._last = self._before = 0.0
            self._plan(loop)

    def stop(self) -> None:
        """Measure no more, until the next `watch`."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = self._clock() + self._interval_s
        self._timer = loop.call_later(self._interval_s, _fired, weakref.ref(self), loop)

    def fired(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take in how late the timer was, and set the next one."""
        if loop is self._loop:
            self._before = self._last
            self._last = max(0.0, self._clock() - self._due)
            self._plan(loop)

    def __repr__(self) -> str:
        return f"<LoopLag {self.seconds * 1000:.1f} ms>"


def _fired(lag: weakref.ref[LoopLag], loop: asyncio.AbstractEventLoop) -> None:
    alive = lag()
    if alive is not None:
        alive.fired(loop)


def queue_delay(now: float) -> float:
    """Return how long the call at hand waited for a thread, 0 where that is unknown."""
    arrived = ARRIVED.get()
    return 0.0 if arrived is None else max(0.0, now - arrived)


class StandingQueue:
    """Whether a queue did not empty: the least delay of an interval is over a target.

    Not safe between threads: whoever records holds a lock.
    """

    def __init__(
        self,
        *,
        target_s: float,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target_s = target_s
        self._interval_s = interval_s
        self._clock = clock
        self._ends_at = clock() + interval_s
        self._least: float | None = None
        self._before: float | None = None

    @property
    def overloaded(self) -> bool:
        """Whether everybody waited for longer than the target in the last interval."""
        self._turn(self._clock())
        return self._before is not None and self._before > self._target_s

    def record(self, delay_s: float) -> None:
        """Take in how many seconds one call waited."""
        self._turn(self._clock())
        if self._least is None or delay_s < self._least:
            self._least = delay_s

    def _turn(self, now: float) -> None:
        if now < self._ends_at:
            return
        # An interval in which nobody came had no queue.
        late = now - self._ends_at >= self._interval_s
        self._before = None if late else self._least
        self._least = None
        self._ends_at = now + self._interval_s

    def __repr__(self) -> str:
        return f"<StandingQueue {'stands' if self.overloaded else 'empties'}>"
