"""Ways to choose a backend: pure, with the clock and the chance given."""

import math
import random
import time
from collections.abc import Callable

from resilience.balancing._backend import Node, Picker

# What an unknown node that has been asked counts as, so that it is asked once.
_UNKNOWN = 1e9


class RoundRobin:
    """One after the other, whatever they are like."""

    name = "round_robin"

    def __init__(self) -> None:
        self._next = 0

    def pick(self, nodes: list[Node]) -> tuple[Node, str]:
        """Return the next node."""
        self._next += 1
        return nodes[self._next % len(nodes)], "next in turn"

    def ended(self, node: Node, latency_s: float) -> None:
        """Learn nothing."""

    def score(self, node: Node) -> float:  # noqa: ARG002  # all alike
        """Return 0: all are alike."""
        return 0.0


class _OfTwo:
    """Power of two choices (Mitzenmacher, 2001): the better of two random nodes."""

    def __init__(self, rng: random.Random | None) -> None:
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, no secret

    def score(self, node: Node) -> float:
        raise NotImplementedError

    def pick(self, nodes: list[Node]) -> tuple[Node, str]:
        """Return the better of two nodes taken at random."""
        if len(nodes) == 1:
            return nodes[0], "the only one"
        first, second = self._rng.sample(nodes, 2)
        a, b = self.score(first), self.score(second)
        better = first if a <= b else second
        return better, f"better of {first.backend.name} and {second.backend.name}"


class LeastLoaded(_OfTwo):
    """The one of two with fewer calls in flight."""

    name = "least_loaded"

    def __init__(self, *, rng: random.Random | None = None) -> None:
        super().__init__(rng)

    def ended(self, node: Node, latency_s: float) -> None:
        """Learn nothing; who is asked less is the faster one already."""

    def score(self, node: Node) -> float:
        """Return the calls in flight."""
        return float(node.pending)


class PeakEwma(_OfTwo):
    """Weighted response time: latency times calls in flight, peaks at once.

    Finagle's PeakEwma: a latency above the estimate replaces it, a lower one pulls it
    down with the time constant *decay_s*; an estimate that is not renewed decays too.
    """

    name = "peak_ewma"

    def __init__(
        self,
        *,
        decay_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(rng)
        if decay_s <= 0:
            raise ValueError("decay_s must be more than 0 seconds")
        self._decay_s = decay_s
        self._clock = clock

    def ended(self, node: Node, latency_s: float) -> None:
        """Take in a latency."""
        self._observe(node, latency_s)

    def score(self, node: Node) -> float:
        """Return the load: the estimate times one more than the calls in flight."""
        self._observe(node, 0.0)
        if node.cost == 0.0 and node.pending:
            return _UNKNOWN + node.pending
        return node.cost * (node.pending + 1)

    def _observe(self, node: Node, latency_s: float) -> None:
        now = self._clock()
        if latency_s > node.cost:
            node.cost = latency_s
        else:
            weight = math.exp(-max(0.0, now - node.stamp) / self._decay_s)
            node.cost = node.cost * weight + latency_s * (1 - weight)
        node.stamp = now


class LocalityFirst:
    """The nearest backends, and the next ones once those are too few or too busy.

    Nodes are grouped by distance. A group is used up to its healthy share times
    *overprovision* (Envoy's overprovisioning factor, 1.4: with 72 % of it healthy it
    still takes everything); the rest overflows to the next group. A group whose nodes
    all have *spill_pending* calls in flight or more overflows too. *total* tells how
    many backends a distance has, ejected ones included.
    """

    def __init__(
        self,
        inner: Picker,
        *,
        overprovision: float = 1.4,
        spill_pending: int | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if overprovision < 1:
            raise ValueError("overprovision must be at least 1")
        if spill_pending is not None and spill_pending < 1:
            raise ValueError("spill_pending must be at least 1, or None")
        self._inner = inner
        self._overprovision = overprovision
        self._spill_pending = spill_pending
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, no secret
        self._totals: dict[float, int] = {}
        self.name = f"locality({inner.name})"

    def know(self, totals: dict[float, int]) -> None:
        """Take over how many backends there are at each distance."""
        self._totals = totals

    def pick(self, nodes: list[Node]) -> tuple[Node, str]:
        """Return a node of the nearest group that takes this call."""
        groups: dict[float, list[Node]] = {}
        for node in nodes:
            groups.setdefault(node.backend.distance, []).append(node)
        ordered = sorted(groups)
        for distance in ordered:
            group = groups[distance]
            last = distance == ordered[-1]
            if last or self._takes(distance, group):
                node, reason = self._inner.pick(group)
                words = "nearest" if distance == ordered[0] else "overflow"
                return node, f"{words}, {reason}"
        raise ValueError("there is nothing to pick from")

    def _takes(self, distance: float, group: list[Node]) -> bool:
        spill = self._spill_pending
        if spill is not None and all(node.pending >= spill for node in group):
            return False
        total = max(self._totals.get(distance, len(group)), len(group))
        share = len(group) / total * self._overprovision
        return share >= 1 or self._rng.random() < share

    def ended(self, node: Node, latency_s: float) -> None:
        """Let the inner picker learn."""
        self._inner.ended(node, latency_s)

    def score(self, node: Node) -> float:
        """Return the inner picker's score."""
        return self._inner.score(node)
