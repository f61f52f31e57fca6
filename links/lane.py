"""One direction of a connection: chunks in at the head, through the stages, out.

The lane stops its source from reading while it holds too much or its sink is full.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from links.stage import EVERY, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from links.connection import Connection


class Traffic:
    """Bytes that one direction of a link has taken in, over all connections."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Outlet(Stage):
    """The last stage: it writes to the far transport."""

    __slots__ = ("transport",)

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane)
        self.transport: asyncio.Transport | None = None

    def feed(self, data: bytes, stamp: float, flight: int) -> None:
        """Write the chunk; what a closed transport gets is lost, as on any socket."""
        del stamp, flight
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def end(self, *, hangup: bool) -> None:
        """Close half of the connection, or all of it with `hangup`."""
        self.lane.ended(hangup=hangup)


class Lane:
    """One direction of one connection."""

    __slots__ = (
        "_classify",
        "_held",
        "_limit",
        "_outlet",
        "_source_done",
        "_stages",
        "_stopped",
        "_throttled",
        "connection",
        "head",
        "loop",
        "now",
        "sink_full",
        "source",
        "traffic",
    )

    def __init__(
        self,
        connection: Connection,
        traffic: Traffic,
        classify: Callable[[bytes], int] | None,
        distance: Callable[[Lane], Stage] | None,
    ) -> None:
        self.connection = connection
        self.loop = connection.loop
        self.now = self.loop.time
        self.traffic = traffic
        self.source: asyncio.Transport | None = None
        self.sink_full = False
        self._classify = classify
        self._held = 0
        self._limit = Stage.limit
        self._throttled = False
        self._source_done = False
        self._stopped = False
        self._outlet = Outlet(self)
        # The distance, where there is one, has the empty name of no toxic.
        self._stages: list[tuple[str, Stage]] = []
        self.head: Stage = self._outlet
        if distance is not None:
            self.insert("", distance(self), 0)

    def connect(self, source: asyncio.Transport, sink: asyncio.Transport) -> None:
        """Give the lane its two ends."""
        self.source = source
        self._outlet.transport = sink

    def receive(self, data: bytes) -> None:
        """Take one chunk from the source."""
        if self._stopped:
            return
        self.traffic.bytes += len(data)
        flight = EVERY if self._classify is None else self._classify(data)
        self.head.feed(data, self.now(), flight)

    def finish(self, *, hangup: bool) -> None:
        """Take the source's end: of what it sends, or of all with `hangup`."""
        if self._stopped or (self._source_done and not hangup):
            return
        self._source_done = True
        self.head.end(hangup=hangup)

    def ended(self, *, hangup: bool) -> None:
        """Close the sink, now that everything before the end has been written."""
        if self._stopped:
            return
        sink = self._outlet.transport
        if hangup:
            self.connection.hang_up()
        elif sink is not None and not sink.is_closing():
            try:
                sink.write_eof()
            except OSError:
                # The far end was reset and its own callback has not told us yet.
                self.connection.hang_up()
                return
            self.connection.half_closed(self)

    def stop(self) -> None:
        """Drop all that is held and take no more."""
        self._stopped = True
        for _, stage in self._stages:
            stage.stop()

    # Stages.

    def stage(self, name: str) -> Stage | None:
        """Give the stage of the toxic `name`, if this connection has one."""
        for held, stage in self._stages:
            if held == name:
                return stage
        return None

    def names(self) -> list[str]:
        """Name the stages in order."""
        return [name for name, _ in self._stages]

    def insert(self, name: str, stage: Stage, index: int) -> None:
        """Put a stage in; what is on its way behind the place is not touched."""
        self._stages.insert(index, (name, stage))
        self._join()

    def take_out(self, name: str) -> None:
        """Take a stage out and let all that it held go on, in order."""
        stage = self.stage(name)
        if stage is None:
            return
        if not self._stopped:
            stage.flush()
        stage.stop()
        self._stages = [pair for pair in self._stages if pair[1] is not stage]
        self._join()

    def _join(self) -> None:
        following: Stage = self._outlet
        for _, stage in reversed(self._stages):
            stage.following = following
            following = stage
        self.head = following
        self._limit = min((s.limit for _, s in self._stages), default=Stage.limit)

    # Backpressure.

    def hold(self, size: int) -> None:
        """Count bytes that a stage holds back."""
        self._held += size
        if self._held > self._limit and not self._throttled:
            self._throttle()

    def release(self, size: int) -> None:
        """Count bytes that a stage let go."""
        self._held -= size
        if self._throttled:
            self.relieve()

    def fill(self) -> None:
        """Stop reading: the sink takes no more."""
        self.sink_full = True
        self._throttle()

    def drain(self) -> None:
        """Read again: the sink has room."""
        self.sink_full = False
        self.relieve()

    def _throttle(self) -> None:
        self._throttled = True
        if self.source is not None and not self._source_done:
            self.source.pause_reading()

    def relieve(self) -> None:
        """Read again if neither the stages nor the sink are full."""
        if self.sink_full or self._held > self._limit // 2:
            return
        self._throttled = False
        # Reading again after the end would meet the end a second time.
        if self.source is not None and not self._source_done:
            self.source.resume_reading()
