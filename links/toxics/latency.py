"""The latency toxic: everything arrives later, and no slower."""

from __future__ import annotations

import random
from dataclasses import dataclass

from links.lane import Lane
from links.stage import Delay, Stage
from links.toxics.attributes import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Attributes):
    """Delay each chunk by `latency` +- `jitter` milliseconds after it arrived.

    The time runs from a chunk's arrival, so that chunks sent close together arrive
    close together; two of these toxics add.
    On a folded link a paid flight is late once and a free one not at all.
    """

    latency: int = 0
    jitter: int = 0

    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage for one lane."""
        return LatencyStage(lane, self, rng)


class LatencyStage(Delay):
    """Draws one delay per chunk, or per paid flight where flights are known."""

    __slots__ = ("_attributes", "_drawn", "_flight", "_rng")

    def __init__(self, lane: Lane, attributes: Latency, rng: random.Random) -> None:
        super().__init__(lane)
        self._attributes = attributes
        self._rng = rng
        self._flight = 0
        self._drawn = 0.0

    def plan(self, stamp: float, size: int, flight: int) -> float:
        """Add the drawn delay to the time of arrival."""
        del size
        if flight == 0:
            return stamp
        if flight < 0 or flight != self._flight:
            self._flight = flight
            jitter = self._attributes.jitter
            spread = self._rng.uniform(-jitter, jitter) if jitter else 0.0
            self._drawn = max(0.0, self._attributes.latency + spread) / 1000
        return stamp + self._drawn

    def update(self, attributes: Attributes) -> None:
        """Hold what is held by the new attributes."""
        assert isinstance(attributes, Latency)
        self._attributes = attributes
        self._flight = 0
        self.replan()
