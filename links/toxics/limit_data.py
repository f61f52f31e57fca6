"""The limit_data toxic: the connection ends after so many bytes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from links.lane import Lane
from links.stage import Stage
from links.toxics.attributes import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitData(Attributes):
    """Let exactly `bytes` bytes of a connection through, then close it."""

    bytes: int = 0

    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage for one lane."""
        del rng
        return LimitDataStage(lane, self)


class LimitDataStage(Stage):
    """Counts; an update of the toxic does not begin the count anew."""

    __slots__ = ("_closed", "_limit", "_sent")

    def __init__(self, lane: Lane, attributes: LimitData) -> None:
        super().__init__(lane)
        self._limit = attributes.bytes
        self._sent = 0
        self._closed = False

    def feed(self, data: bytes, stamp: float, flight: int) -> None:
        """Let through what is left of the limit, and close when nothing is."""
        if self._closed:
            return
        part = data[: max(0, self._limit - self._sent)]
        if part:
            self._sent += len(part)
            self.following.feed(part, stamp, flight)
        if self._sent >= self._limit:
            self._closed = True
            self.following.end(hangup=True)

    def end(self, *, hangup: bool) -> None:
        """Pass the end on, unless the limit ended it all before."""
        if not self._closed:
            self.following.end(hangup=hangup)

    def update(self, attributes: Attributes) -> None:
        """Count on, to the new limit."""
        assert isinstance(attributes, LimitData)
        self._limit = attributes.bytes
