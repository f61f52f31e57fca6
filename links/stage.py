"""The steps a chunk takes through one direction of a connection.

A stage takes chunks in order and gives them to the next in the same order;
whatever it holds back it counts against its lane, so that memory is bounded.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import asyncio

    from links.lane import Lane
    from links.toxics.attributes import Attributes

EVERY = -1  # a flight number: every chunk takes the distance
FREE = 0  # a flight number: this one takes no time


class Stage:
    """A step that changes nothing; the others override what they need."""

    __slots__ = ("following", "lane")

    following: Stage
    # A lane may hold what a fast sender writes within a long delay, but not more.
    limit: ClassVar[int] = 4 * 1024 * 1024  # bytes

    def __init__(self, lane: Lane) -> None:
        self.lane = lane

    def feed(self, data: bytes, stamp: float, flight: int) -> None:
        """Take a chunk that was here at `stamp` (the loop's seconds).

        `flight` is EVERY, FREE or the number of the paid flight it belongs to.
        """
        self.following.feed(data, stamp, flight)

    def end(self, *, hangup: bool) -> None:
        """Take the end of the stream: half of the connection, or all with `hangup`."""
        self.following.end(hangup=hangup)

    def update(self, attributes: Attributes) -> None:
        """Work by new attributes from now on; counts and what is held stay."""

    def flush(self) -> None:
        """Hand on all that is held: the stage is about to be taken out."""

    def stop(self) -> None:
        """Forget all that is held: the connection is gone."""


class Delay(Stage):
    """Hold each chunk until it is due, without changing the order."""

    __slots__ = ("_queue", "_timer")

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane)
        # due, data (None for the end), stamp, flight (or hangup for the end)
        self._queue: deque[tuple[float, bytes | None, float, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def plan(self, stamp: float, size: int, flight: int) -> float:
        """Say when a chunk that arrived at `stamp` may leave."""
        raise NotImplementedError

    def plan_end(self, stamp: float) -> float:
        """Say when an end that arrived at `stamp` may leave."""
        return stamp

    def feed(self, data: bytes, stamp: float, flight: int) -> None:
        """Hold the chunk until it is due."""
        self.hold(self.plan(stamp, len(data), flight), data, stamp, flight)

    def hold(self, due: float, data: bytes, stamp: float, flight: int) -> None:
        """Let `data` go at `due`, behind all that came before it."""
        queue = self._queue
        if queue:
            due = max(due, queue[-1][0])
        elif due <= stamp or due <= self.lane.now():
            self.following.feed(data, due, flight)
            return
        self.lane.hold(len(data))
        queue.append((due, data, stamp, flight))
        if self._timer is None:
            self._arm()

    def end(self, *, hangup: bool) -> None:
        """Let the end go behind all that came before it."""
        now = self.lane.now()
        due = self.plan_end(now)
        if self._queue:
            due = max(due, self._queue[-1][0])
        elif due <= now:
            self.following.end(hangup=hangup)
            return
        self._queue.append((due, None, now, hangup))
        if self._timer is None:
            self._arm()

    def flush(self) -> None:
        """Hand on all that is held, in order, now."""
        self._disarm()
        self._release(math.inf, self.lane.now())

    def stop(self) -> None:
        """Drop all that is held."""
        self._disarm()
        self._queue.clear()

    def replan(self) -> None:
        """Plan all that is held afresh, from the time when it arrived."""
        self._disarm()
        held = list(self._queue)
        self._queue.clear()
        for _, data, stamp, flight in held:
            if data is None:
                self.end(hangup=bool(flight))
            else:
                self.lane.release(len(data))
                self.feed(data, stamp, flight)

    def _arm(self) -> None:
        due = self._queue[0][0]
        if due < math.inf:
            self._timer = self.lane.loop.call_at(due, self._fire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        # The loop fires a timer up to its clock's resolution early.
        self._timer = None
        self._release(self.lane.now() + 0.0005, math.inf)
        if self._queue and self._timer is None:
            self._arm()

    def _release(self, now: float, latest_stamp: float) -> None:
        # What leaves early, because the stage goes, must not be stamped ahead of time.
        queue = self._queue
        while queue and queue[0][0] <= now:
            due, data, _, flight = queue.popleft()
            if data is None:
                self.following.end(hangup=bool(flight))
            else:
                self.lane.release(len(data))
                self.following.feed(data, min(due, latest_stamp), flight)


class Distance(Delay):
    """The WAN: half a round trip for every chunk, save those of free flights."""

    __slots__ = ("_delay", "_end_delay")

    def __init__(self, lane: Lane, *, delay: float, end_delay: float) -> None:
        super().__init__(lane)
        self._delay = delay
        self._end_delay = end_delay

    def plan(self, stamp: float, size: int, flight: int) -> float:
        """Add the distance to the time of arrival."""
        del size
        return stamp + self._delay if flight else stamp

    def plan_end(self, stamp: float) -> float:
        """Let the end travel the distance too."""
        return stamp + self._end_delay
