"""Follow the workload: where a key range is served, learned from how soon it answers.

CockroachDB without multi-region tables moves a range's lease to where most requests
for it come from ("follow-the-workload", its documentation). A client is told nothing
of that. It sees that the statements of that range come back sooner through one
region's gateways than through another's, and that is what counts for it anyway.

Pure: clock and chance are parameters.
"""

from __future__ import annotations

import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_DECAY_S = 10.0
# A preference moves only for a gain that is no noise.
_GAIN = 0.8
_GAIN_S = 0.002
# One statement in so many goes elsewhere to see whether the range has moved there.
_EXPLORE_EVERY = 64
_MOST_RANGES = 1024


@dataclass(slots=True)
class _Seen:
    cost_s: float = 0.0
    at_s: float = 0.0


@dataclass(slots=True)
class _Range:
    preferred: str
    asked: int = 0
    regions: dict[str, _Seen] = field(default_factory=dict)


class FollowWorkload:
    """The region to ask for each key range, as far as this process has seen.

    Begins where the caller says, explores one statement in 64, and moves when another
    region answered at least a fifth and 2 ms sooner on average over the last ten
    seconds. At most 1024 ranges are remembered, the longest unused forgotten first.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - chooses what to explore
        self._ranges: OrderedDict[str, _Range] = OrderedDict()

    def __repr__(self) -> str:
        moved = {key: one.preferred for key, one in self._ranges.items()}
        return f"<FollowWorkload {moved}>"

    def region(
        self, key: str, regions: Sequence[str], *, first: str
    ) -> tuple[str, bool]:
        """Choose one of `regions` for a key range; and whether only to explore it.

        `first` is the preference before anything is known of the range.
        """
        one = self._ranges.get(key)
        if one is None:
            one = self._ranges[key] = _Range(first)
            if len(self._ranges) > _MOST_RANGES:
                self._ranges.popitem(last=False)
        self._ranges.move_to_end(key)
        if one.preferred not in regions:
            one.preferred = first if first in regions else regions[0]
        one.asked += 1
        others = [r for r in regions if r != one.preferred]
        if others and one.asked % _EXPLORE_EVERY == 0:
            return self._rng.choice(others), True
        return one.preferred, False

    def answered(self, key: str, region: str, *, ok: bool, latency_s: float) -> bool:
        """Take in an answer; True when the range's preference moved by it.

        A failure says nothing of where the rows are.
        """
        one = self._ranges.get(key)
        if one is None or not ok:
            return False
        now = self._clock()
        seen = one.regions.get(region)
        if seen is None:
            seen = one.regions[region] = _Seen(latency_s, now)
        else:
            weight = math.exp(min(0.0, seen.at_s - now) / _DECAY_S)
            # Even of two in the same moment the later one counts for something.
            weight = min(weight, 0.9)
            seen.cost_s = seen.cost_s * weight + latency_s * (1 - weight)
            seen.at_s = now
        present = one.regions.get(one.preferred)
        if region == one.preferred or present is None:
            best = min(one.regions, key=lambda r: one.regions[r].cost_s)
        else:
            best = region
        if best == one.preferred or present is None:
            return False
        cost = one.regions[best].cost_s
        if cost > present.cost_s * _GAIN or cost > present.cost_s - _GAIN_S:
            return False
        one.preferred = best
        return True

    def preferred(self, key: str) -> str | None:
        """Name the region preferred for a key range; None for one never asked for."""
        one = self._ranges.get(key)
        return None if one is None else one.preferred
