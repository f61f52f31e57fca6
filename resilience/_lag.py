"""How long work waits before it is begun: part of what a server's callers wait.

A loop or a pool of threads that is busy delays every call before its handler runs,
where no handler's own clock can see it.
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
    this object or with the loop.
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

    @property
    def seconds(self) -> float:
        """The lag, 0 while nothing is watched."""
        if self._loop is None:
            return 0.0
        # A timer that is overdue now tells more than the last one that fired.
        overdue = self._clock() - self._due
        return max(self._last, self._before, overdue, 0.0)

    def watch(self) -> None:
        """Begin to measure the running loop, if that is not being done."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._plan(loop)

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = self._clock() + self._interval_s
        loop.call_later(self._interval_s, _fired, weakref.ref(self), loop)

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
