"""What a process learns of gateways from their answers: response times, round trips.

Pure: the clock is a parameter. Nothing here asks anybody anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from cockroach.topology import Gateway, nearest, rtt_ms
from resilience.balancing import Backend, Node, PeakEwma

# A round trip measured longer ago than this may have become longer.
_FORGET_S = 60.0
# An estimate that fades takes the longer the worse it was; whoever was left for long
# enough is looked at once more, and judged by that answer alone.
_LOOK_AGAIN_S = 6.0


class ResponseTimes:
    """Weighted response time of each gateway: peak EWMA times work in flight.

    The estimate is `resilience.balancing.PeakEwma`'s (Finagle's, in which a peak counts
    at once and fades with `decay_s`, and failures never make a gateway look fast). A
    gateway that answered last, and nothing for six seconds, gets one statement again.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, decay_s: float = 5.0
    ) -> None:
        self._clock = clock
        self._ewma = PeakEwma(decay_s=decay_s, clock=clock)
        self._nodes: dict[str, Node] = {}
        self._answered_s: dict[str, float] = {}

    def __repr__(self) -> str:
        times = ", ".join(f"{n} {1e3 * self.score(n, 0):.1f}" for n in self._nodes)
        return f"<ResponseTimes ms: {times or 'none'}>"

    def answered(self, gateway: str, *, ok: bool, latency_s: float) -> None:
        """Take in an answer, or a refusal, that came after `latency_s` seconds."""
        node = self._node(gateway)
        if ok and self._left_for_long(gateway):
            node.cost = 0.0
        self._ewma.ended(node, "success" if ok else "failure", latency_s)
        if ok:
            self._answered_s[gateway] = self._clock()
        else:
            # Whoever fails is probed, and is not tried out with statements.
            self._answered_s.pop(gateway, None)

    def score(self, gateway: str, in_flight: int) -> float:
        """Give the seconds that one more statement would take, 0 when not known."""
        node = self._nodes.get(gateway)
        if node is None or node.cost == 0.0:
            return 0.0
        if not in_flight and self._left_for_long(gateway):
            return 0.0
        node.pending = in_flight
        return self._ewma.score(node)

    def _left_for_long(self, gateway: str) -> bool:
        answered_s = self._answered_s.get(gateway)
        return answered_s is not None and self._clock() - answered_s > _LOOK_AGAIN_S

    def forget(self, kept: Iterable[str]) -> None:
        """Forget the gateways that are not among `kept`."""
        names = set(kept)
        self._nodes = {n: node for n, node in self._nodes.items() if n in names}
        self._answered_s = {n: s for n, s in self._answered_s.items() if n in names}

    def _node(self, gateway: str) -> Node:
        node = self._nodes.get(gateway)
        if node is None:
            # The address is nobody's business here, but a backend has one.
            backend = Backend(name=gateway, address=gateway)
            node = self._nodes[gateway] = Node(backend, self._clock())
        return node


class RoundTrips:
    """The distance to each region: the least time that a statement there took lately.

    Any statement takes at least the way there and back, so the least of many is close
    to that, whatever they did. Until something was measured the topology's own figure
    counts.
    """

    def __init__(
        self, region: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._region = region
        self._clock = clock
        self._least: dict[str, tuple[float, float]] = {}

    def answered(self, region: str, latency_s: float) -> None:
        """Take in how long a statement to a region's gateway took, in seconds."""
        now = self._clock()
        least = self._least.get(region)
        if least is None or latency_s <= least[0] or now - least[1] > _FORGET_S:
            self._least[region] = (latency_s, now)

    def seconds(self, region: str) -> float:
        """Give the round trip to a region in seconds."""
        least = self._least.get(region)
        if least is not None and self._clock() - least[1] <= _FORGET_S:
            return least[0]
        return rtt_ms(self._region, region) / 1e3

    def nearest_first(self, gateways: Iterable[Gateway]) -> tuple[str, ...]:
        """List the regions of some gateways, the nearest first."""
        order = {r: n for n, r in enumerate((self._region, *nearest(self._region)))}
        regions = {one.region for one in gateways}
        # What is equally far keeps the topology's order.
        return tuple(sorted(regions, key=lambda r: (self.seconds(r), order.get(r, 9))))
