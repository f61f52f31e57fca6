"""The timeout toxic: nothing arrives any more, and in the end the line is cut."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from links.lane import Lane
from links.stage import Stage
from links.toxics.attributes import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout(Attributes):
    """Drop all data; close after `timeout` milliseconds without any, 0 for never.

    The removal closes the connection: what was dropped cannot be made good.
    """

    timeout: int = 0

    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage for one lane."""
        del rng
        return TimeoutStage(lane, self)


class TimeoutStage(Stage):
    """Drops, and lets the time run afresh with each chunk."""

    __slots__ = ("_attributes", "_timer")

    def __init__(self, lane: Lane, attributes: Timeout) -> None:
        super().__init__(lane)
        self._attributes = attributes
        self._timer: asyncio.TimerHandle | None = None
        self._start()

    def feed(self, data: bytes, stamp: float, flight: int) -> None:
        """Drop the chunk."""
        del data, stamp, flight
        self._start()

    def end(self, *, hangup: bool) -> None:
        """Drop the end too: the far side is not to learn of anything."""

    def update(self, attributes: Attributes) -> None:
        """Let the new time run."""
        assert isinstance(attributes, Timeout)
        self._attributes = attributes
        self._start()

    def flush(self) -> None:
        """Close the connection."""
        self.stop()
        self.lane.connection.hang_up()

    def stop(self) -> None:
        """Let no time run."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self.stop()
        if self._attributes.timeout:
            self._timer = self.lane.loop.call_later(
                self._attributes.timeout / 1000, self.lane.connection.hang_up
            )
