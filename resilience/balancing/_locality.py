"""The nearest backends first: Envoy's priority levels, by distance."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from resilience._outcome import Verdict
from resilience.balancing._backend import Backend, Node, Picker

_Distance = tuple[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Locality:
    """Where we are, and how far the other regions are (any unit; unknown: farthest)."""

    region: str
    zone: str = ""
    regions: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.region:
            raise ValueError("a locality has a region")
        if not all(distance >= 0 for distance in self.regions.values()):
            raise ValueError("distances must not be negative")

    def to(self, backend: Backend) -> _Distance:
        """Return how far *backend* is: our zone, our region, then the others."""
        if backend.region != self.region:
            return 2, self.regions.get(backend.region, float("inf"))
        return (0 if self.zone and backend.zone == self.zone else 1), 0.0


class LocalityFirst:
    """The nearest backends, and the next ones once those are too few or too busy.

    Backends are grouped by their distance from *here* (None: by the distance that each
    was given). Every group has a health: the share of its backends that is not ejected,
    times *overprovision* (1.4), at most 1. The nearest group gets its health's share of
    the calls, each further one what is left up to its own; where all the health there
    is makes less than 1, every group gets its part of the sum. These are Envoy's
    priority levels, without the rounding to whole percents: with 72 % of the nearest
    left they still get everything, with half of them 70 %.

    A group in which no backend has fewer than *spill_pending* calls in flight hands its
    calls on to the next that has one; when all are so busy the call stays. So it does
    for a retry that every backend of a group has failed already. *inner* picks in a
    group.
    """

    def __init__(
        self,
        inner: Picker,
        *,
        here: Locality | None = None,
        overprovision: float = 1.4,
        spill_pending: int | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if overprovision < 1:
            raise ValueError("overprovision must be at least 1")
        if spill_pending is not None and spill_pending < 1:
            raise ValueError("spill_pending must be at least 1, or None")
        self._inner = inner
        self._here = here
        self._overprovision = overprovision
        self._spill_pending = spill_pending
        self._random = (rng or random.Random()).random  # noqa: S311  # no secret
        self._totals: dict[_Distance, int] = {}
        self._usable: Sequence[Node] | None = None
        self._groups: list[list[Node]] = []
        self._shares: list[float] = []
        self.name = f"locality({inner.name})"

    def _distance(self, node: Node) -> _Distance:
        if self._here is not None:
            return self._here.to(node.backend)
        return 0, node.backend.distance

    def follow(self, nodes: Sequence[Node]) -> None:
        """Take in how many backends there are at each distance."""
        self._totals = {}
        for node in nodes:
            distance = self._distance(node)
            self._totals[distance] = self._totals.get(distance, 0) + 1
        self._usable = None
        self._inner.follow(nodes)

    def _regroup(self, nodes: Sequence[Node]) -> None:
        groups: dict[_Distance, list[Node]] = {}
        for node in nodes:
            groups.setdefault(self._distance(node), []).append(node)
        # A level that is out as a whole stays a level.
        ordered = sorted({*groups, *self._totals})
        self._groups = [groups.get(distance, []) for distance in ordered]
        totals = [self._totals.get(d, 0) or len(groups[d]) for d in ordered]
        self._shares = priority_load(
            [len(group) for group in self._groups], totals, self._overprovision
        )
        self._usable = nodes

    def pick(
        self, nodes: Sequence[Node], avoid: Collection[str] = ()
    ) -> tuple[Node, str]:
        """Return a node of the nearest group that takes this call."""
        if nodes is not self._usable:
            self._regroup(nodes)
        first = self._first()
        level, left = self._level(first, avoid)
        node, reason = self._inner.pick(left, avoid)
        words = "nearest"
        if level:
            few = "too few are nearer"
            words = f"overflow, {few if level == first else 'the nearer are taken'}"
        return node, f"{words}, {reason}"

    def _first(self) -> int:
        """Return the level that the shares give this call to."""
        shares = self._shares
        if shares[0] >= 1:
            return 0
        drawn = self._random()
        last = 0
        for level, share in enumerate(shares):
            if share > 0:
                last = level
            drawn -= share
            if drawn < 0:
                return level
        return last

    def _level(self, first: int, avoid: Collection[str]) -> tuple[int, Sequence[Node]]:
        """Return the first level from there on with somebody to ask, and whom."""
        groups = self._groups
        if not avoid and self._spill_pending is None:
            return first, groups[first]
        stays = first, groups[first]
        found = False
        for level in [*range(first, len(groups)), *range(first)]:
            whole = groups[level]
            left = [node for node in whole if node.backend.name not in avoid]
            if not left:
                continue
            left = whole if len(left) == len(whole) else left
            if not self._busy(left):
                return level, left
            if not found:
                found, stays = True, (level, left)
        return stays

    def _busy(self, group: Sequence[Node]) -> bool:
        spill = self._spill_pending
        return spill is not None and all(node.pending >= spill for node in group)

    def ended(self, node: Node, verdict: Verdict, latency_s: float) -> None:
        """Let the inner picker learn."""
        self._inner.ended(node, verdict, latency_s)

    def score(self, node: Node) -> float:
        """Return the inner picker's score."""
        return self._inner.score(node)

    def __repr__(self) -> str:
        shares = ", ".join(f"{share:.0%}" for share in self._shares)
        return f"<LocalityFirst {self._inner.name}: {shares or 'nothing yet'}>"


def priority_load(
    healthy: Sequence[int], totals: Sequence[int], overprovision: float
) -> list[float]:
    """Return what share of the calls each level gets, nearest first (Envoy).

    All shares are 0 only where nobody is healthy.
    """
    health = [
        min(1.0, count / total * overprovision) if total else 0.0
        for count, total in zip(healthy, totals, strict=True)
    ]
    whole = min(1.0, sum(health))
    left, shares = 1.0, []
    for each in health:
        share = min(left, each / whole) if whole else 0.0
        shares.append(share)
        left -= share
    return shares
