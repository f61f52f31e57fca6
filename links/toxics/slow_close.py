"""The slow_close toxic: the end comes late."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from links.lane import Lane
from links.stage import Stage
from links.toxics.attributes import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowClose(Attributes):
    """Delay only the end of the stream, by `delay` milliseconds."""

    delay: int = 0

    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage for one lane."""
        del rng
        return SlowCloseStage(lane, self)


class SlowCloseStage(Stage):
    """Keeps the end until its time has come."""

    __slots__ = ("_attributes", "_hangup", "_timer")

    def __init__(self, lane: Lane, attributes: SlowClose) -> None:
        super().__init__(lane)
        self._attributes = attributes
        self._hangup = False
        self._timer: asyncio.TimerHandle | None = None

    def end(self, *, hangup: bool) -> None:
        """Let the time run; a hang-up that follows an end does not begin it anew."""
        self._hangup = hangup
        if self._timer is None:
            self._timer = self.lane.loop.call_later(
                self._attributes.delay / 1000, self._pass_on
            )

    def update(self, attributes: Attributes) -> None:
        """Keep the next end for the new time; one that waits keeps its own."""
        assert isinstance(attributes, SlowClose)
        self._attributes = attributes

    def flush(self) -> None:
        """End at once, if the end is waiting."""
        if self._timer is not None:
            self.stop()
            self._pass_on()

    def stop(self) -> None:
        """Forget the end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass_on(self) -> None:
        self._timer = None
        self.following.end(hangup=self._hangup)
