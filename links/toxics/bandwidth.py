"""The bandwidth toxic: no more than so many bytes a second."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from links.lane import Lane
from links.stage import Delay, Stage
from links.toxics.attributes import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth(Attributes):
    """Let `rate` KB (1000 bytes) a second through, for each connection by itself.

    A rate of 0 is a black hole that keeps what falls in until the toxic goes.
    """

    rate: int = 0

    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage for one lane."""
        del rng
        return BandwidthStage(lane, self)


class BandwidthStage(Delay):
    """Cuts chunks into pieces of a tenth of a second and spaces them out."""

    __slots__ = ("_attributes", "_free_at")

    limit = 256 * 1024  # a slow wire makes its sender wait, it does not store

    def __init__(self, lane: Lane, attributes: Bandwidth) -> None:
        super().__init__(lane)
        self._attributes = attributes
        self._free_at = 0.0

    def feed(self, data: bytes, stamp: float, flight: int) -> None:
        """Hold each piece for as long as the wire is busy with it."""
        per_second = self._attributes.rate * 1000
        if not per_second:
            self.hold(math.inf, data, stamp, flight)
            return
        piece = per_second // 10
        for at in range(0, len(data), piece):
            part = data[at : at + piece]
            self._free_at = max(self._free_at, stamp) + len(part) / per_second
            self.hold(self._free_at, part, stamp, flight)

    def update(self, attributes: Attributes) -> None:
        """Send what is held at the new rate."""
        assert isinstance(attributes, Bandwidth)
        self._attributes = attributes
        self._free_at = self.lane.now()
        self.replan()
