"""The slicer toxic: chunks arrive in small pieces."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from links.lane import Lane
from links.stage import Delay, Stage
from links.toxics.attributes import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicer(Attributes):
    """Cut chunks into pieces of `average_size` +- `size_variation` bytes.

    `delay` is the pause after each piece, in microseconds.
    An average of 0 cuts nothing.
    """

    average_size: int = 0
    size_variation: int = 0
    delay: int = 0

    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage for one lane."""
        return SlicerStage(lane, self, rng)


class SlicerStage(Delay):
    """Halves at a place moved by chance, until the pieces are small enough."""

    __slots__ = ("_attributes", "_free_at", "_rng")

    def __init__(self, lane: Lane, attributes: Slicer, rng: random.Random) -> None:
        super().__init__(lane)
        self._attributes = attributes
        self._rng = rng
        self._free_at = 0.0

    def feed(self, data: bytes, stamp: float, flight: int) -> None:
        """Let the pieces go one pause apart."""
        for start, stop in self._cut(0, len(data)):
            due = max(self._free_at, stamp)
            self.hold(due, data[start:stop], stamp, flight)
            self._free_at = due + self._attributes.delay / 1e6

    def update(self, attributes: Attributes) -> None:
        """Cut what comes next the new way."""
        assert isinstance(attributes, Slicer)
        self._attributes = attributes
        self._free_at = 0.0
        self.replan()

    def _cut(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        average, variation = (
            self._attributes.average_size,
            self._attributes.size_variation,
        )
        size = stop - start
        if average == 0 or size < 2 or size - average <= variation:
            yield start, stop
            return
        shift = self._rng.randint(-variation, variation) if variation else 0
        # Chance may not move the cut to an end: such halves would never get smaller.
        middle = min(max(start + size // 2 + shift, start + 1), stop - 1)
        yield from self._cut(start, middle)
        yield from self._cut(middle, stop)
