"""Ways to choose a backend: pure, with the clock and the chance given."""

import math
import random
import time
from collections.abc import Callable, Collection, Sequence

from resilience._outcome import Verdict
from resilience.balancing._backend import Node, fresh

# What an unknown node that has been asked counts as, so that it is asked once.
_UNKNOWN = 1e9
# A node whose calls fail counts as slower than usual by no more than this.
_MOST = 32.0
# How much one latency moves what is usual.
_SMOOTHING = 1 / 32


class RoundRobin:
    """One after the other, whatever they are like; by weight where weights differ.

    The weighted turns are nginx's smooth ones: a node of weight 5 beside two of weight
    1 gets its five turns spread out, not in a row. They cost a look at every node.
    """

    name = "round_robin"

    def __init__(self) -> None:
        self._next = -1
        self._weighted = False

    def follow(self, nodes: Sequence[Node]) -> None:
        """Take in whether weights differ."""
        self._weighted = len({node.backend.weight for node in nodes}) > 1

    def pick(
        self, nodes: Sequence[Node], avoid: Collection[str] = ()
    ) -> tuple[Node, str]:
        """Return the next node."""
        nodes = fresh(nodes, avoid)
        if not self._weighted:
            self._next += 1
            return nodes[self._next % len(nodes)], "next in turn"
        best, total = nodes[0], 0.0
        for node in nodes:
            node.turn += node.backend.weight
            total += node.backend.weight
            if node.turn > best.turn:
                best = node
        best.turn -= total
        return best, "next in turn by weight"

    def ended(self, node: Node, verdict: Verdict, latency_s: float) -> None:
        """Learn nothing."""

    def score(self, node: Node) -> float:  # noqa: ARG002  # all alike
        """Return 0: all are alike."""
        return 0.0


class _OfTwo:
    """Power of two choices (Mitzenmacher, 2001): the better of two random nodes."""

    def __init__(self, rng: random.Random | None) -> None:
        self._random = (rng or random.Random()).random  # noqa: S311  # no secret

    def follow(self, nodes: Sequence[Node]) -> None:
        """Learn nothing."""

    def score(self, node: Node) -> float:
        raise NotImplementedError

    def _load(self, node: Node) -> float:
        return self.score(node)

    def pick(
        self, nodes: Sequence[Node], avoid: Collection[str] = ()
    ) -> tuple[Node, str]:
        """Return the better of two nodes taken at random."""
        nodes = fresh(nodes, avoid)
        count = len(nodes)
        if count == 1:
            return nodes[0], "the only one"
        one = int(self._random() * count)
        two = int(self._random() * (count - 1))
        if two >= one:
            two += 1
        first, second = nodes[one], nodes[two]
        better = first if self._load(first) <= self._load(second) else second
        return better, f"better of {first.backend.name} and {second.backend.name}"


class LeastLoaded(_OfTwo):
    """The one of two with fewer calls in flight, this one included, for its weight."""

    name = "least_loaded"

    def __init__(self, *, rng: random.Random | None = None) -> None:
        super().__init__(rng)

    def ended(self, node: Node, verdict: Verdict, latency_s: float) -> None:
        """Learn nothing; who is asked less is the faster one already."""

    def score(self, node: Node) -> float:
        """Return the calls in flight if it got this one, by weight."""
        return (node.pending + 1) / node.backend.weight


class PeakEwma(_OfTwo):
    """Weighted response time: latency times calls in flight, peaks at once.

    Finagle's PeakEwma: a latency above the estimate replaces it, a lower one pulls it
    down with the time constant *decay_s*; an estimate that is not renewed decays too.
    Where we depart from it, because a node that fails at once looks fast there and
    gets all the calls:

    * a failure never lowers the estimate: it doubles it, from what is usual among the
      nodes up to 32 times that, and is forgotten as any peak is;
    * a call that was given up (a hedge that lost, a caller who left) ran for at least
      so long, so it may raise the estimate and never lowers it.
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
        self._usual = 0.0

    def ended(self, node: Node, verdict: Verdict, latency_s: float) -> None:
        """Take in a latency."""
        now = self._clock()
        if verdict == "success":
            if self._usual:
                self._usual += (latency_s - self._usual) * _SMOOTHING
            else:
                self._usual = latency_s
            weight = self._weight(node, now)
            node.cost = max(latency_s, node.cost * weight + latency_s * (1 - weight))
        elif verdict == "failure":
            cost = node.cost * self._weight(node, now)
            worse = min(2 * max(cost, self._usual), _MOST * self._usual)
            node.cost = max(latency_s, cost, worse)
        else:
            node.cost = max(latency_s, node.cost * self._weight(node, now))
        node.stamp = now

    def score(self, node: Node) -> float:
        """Return the load: the estimate times one more than the calls in flight."""
        return self._load_of(node, node.cost * self._weight(node, self._clock()))

    def _load(self, node: Node) -> float:
        now = self._clock()
        node.cost *= self._weight(node, now)
        node.stamp = now
        return self._load_of(node, node.cost)

    def _load_of(self, node: Node, cost: float) -> float:
        if cost == 0.0 and node.pending:
            if node.pending > node.streams:
                return _UNKNOWN + node.pending
            # How long a stream lives tells nothing; it is no answer to wait for.
            cost = self._usual or 1 / _UNKNOWN
        return cost * (node.pending + 1) / node.backend.weight

    def _weight(self, node: Node, now: float) -> float:
        return math.exp(min(0.0, node.stamp - now) / self._decay_s)

    def __repr__(self) -> str:
        return f"<PeakEwma decay {self._decay_s:g} s, usual {self._usual:.3g} s>"
