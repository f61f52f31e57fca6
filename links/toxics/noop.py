"""The noop toxic: nothing happens; Toxiproxy has it, so clients may ask for it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from links.lane import Lane
from links.stage import Stage
from links.toxics.attributes import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Noop(Attributes):
    """Change nothing."""

    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage for one lane."""
        del rng
        return Stage(lane)
