"""How a backend is picked: in turns, by load, by latency, by weight."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.balancing import (
    Backend,
    Balancer,
    LeastLoaded,
    Node,
    PeakEwma,
    RoundRobin,
)
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience


class Ring:
    """A balancer over backends, each with a latency and, perhaps, a status."""

    def __init__(self, picker, clock, latencies, failing=(), **options):
        self.clock = clock
        self.latencies = latencies
        self.failing = failing
        backends = [Backend(name=name, address=name) for name in latencies]
        self.balancer = Balancer("t", backends, picker, clock=clock, **options)
        self.nodes = {node.backend.name: node for node in self.balancer.nodes}

    def run(self, calls, every_s):
        """Make calls at a fixed pace; return how many each got, and its mean load."""
        running, got, load = [], Counter(), Counter()
        for _ in range(calls):
            self.clock.advance(every_s)
            for done in [each for each in running if each[0] <= self.clock()]:
                running.remove(done)
                _, node, latency = done
                code = "UNAVAILABLE" if node.backend.name in self.failing else "OK"
                self.balancer.ended(node, code, latency)
            node = self.balancer.pick("/t.T/Go")
            name = node.backend.name
            got[name] += 1
            latency = self.latencies[name]
            running.append((self.clock() + latency, node, latency))
            for name, node in self.nodes.items():
                load[name] += node.pending
        return got, {name: total / calls for name, total in load.items()}


def _nodes(*weights):
    return [
        Node(Backend(name=f"b{n}", address=f"h:{n}", weight=weight), 0.0)
        for n, weight in enumerate(weights)
    ]


def test_round_robin_takes_turns():
    """Every backend gets the same number of calls, slow or not."""
    ring = Ring(RoundRobin(), FakeClock(), {"a": 0.1, "b": 1.0, "c": 0.1})
    got, _ = ring.run(300, 0.01)

    assert {"a": 100, "b": 100, "c": 100} == got


def test_weighted_turns_are_smooth():
    """nginx's case: weights 5, 1 and 1 take turns as a a b a c a a."""
    picker, nodes = RoundRobin(), _nodes(5, 1, 1)
    picker.follow(nodes)
    turns = "".join(picker.pick(nodes)[0].backend.name[1] for _ in range(14))

    assert "0010200" * 2 == turns


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6))
def test_weighted_turns_are_exact(weights):
    """In as many turns as the weights add up to, each gets its weight of them."""
    picker, nodes = RoundRobin(), _nodes(*weights)
    picker.follow(nodes)
    got = Counter(picker.pick(nodes)[0] for _ in range(sum(weights)))

    expected = weights if len(set(weights)) > 1 else [got[node] for node in nodes]
    assert [got[node] for node in nodes] == expected


@pytest.mark.parametrize("picker", ["ewma", "least"])
def test_equal_nodes_share_evenly(picker):
    """P2CPeakEwmaTest: nodes that are alike get about the same."""
    clock, rng = FakeClock(), random.Random(5)
    made = PeakEwma(clock=clock, rng=rng) if picker == "ewma" else LeastLoaded(rng=rng)
    got, _ = Ring(made, clock, dict.fromkeys("abcde", 0.1)).run(5000, 0.001)

    assert max(got.values()) < 1.15 * min(got.values())


def test_two_choices_are_two():
    """No node is compared with itself, and every pair comes up."""
    picker, nodes = LeastLoaded(rng=random.Random(1)), _nodes(1, 1, 1)
    pairs = Counter(picker.pick(nodes)[1] for _ in range(600))

    expected = {f"better of b{i} and b{j}" for i in range(3) for j in range(3)}
    assert {pair for pair in expected if pair[11] != pair[-1]} == set(pairs)
    assert min(pairs.values()) > 60


def test_least_loaded_bears_weights():
    """Of two with weights 1 and 3, each holds its share of the calls in flight."""
    picker, nodes = LeastLoaded(rng=random.Random(1)), _nodes(1, 3)
    for _ in range(40):
        picker.pick(nodes)[0].pending += 1

    assert [10, 30] == [node.pending for node in nodes]


def test_peak_ewma_loads_a_node_of_twice_the_latency_half_as_much():
    """P2CPeakEwmaTest: calls in flight there are half the mean."""
    clock = FakeClock()
    latencies = {**dict.fromkeys("abcdefgh", 0.1), "slow": 0.2}
    ring = Ring(PeakEwma(clock=clock, rng=random.Random(5)), clock, latencies)
    _, load = ring.run(20_000, 0.002)

    mean = sum(load[name] for name in "abcdefgh") / 8
    assert load["slow"] == pytest.approx(mean / 2, rel=0.25)


def test_peak_ewma_asks_an_unknown_node_once():
    """P2CPeakEwmaTest: until its first answer a new node gets no second call."""
    clock = FakeClock()
    picker = PeakEwma(clock=clock, rng=random.Random(5))
    ring = Ring(picker, clock, {"a": 0.01, "b": 0.01, "new": 1e9})
    for name in "ab":
        ring.nodes[name].cost = 0.01
    got, _ = ring.run(2000, 0.01)

    assert 1 == got["new"]


def test_an_unknown_node_with_streams_only_is_still_asked():
    """A stream that lives for hours is no answer that a unary call waits for."""
    clock = FakeClock()
    picker = PeakEwma(clock=clock, rng=random.Random(5))
    ring = Ring(picker, clock, {"a": 0.01, "b": 0.01})
    for name in "ab":
        ring.balancer.pick("/t.T/Watch", avoid={name}, streaming=True)
    ring.balancer.ended(ring.balancer.pick("/t.T/Go", avoid={"b"}), "OK", 0.01)
    got, _ = ring.run(1000, 0.02)

    assert min(got["a"], got["b"]) > 400


def test_peak_ewma_jumps_up_and_decays_down():
    """A peak replaces the estimate; later it fades with the decay's time constant."""
    clock = FakeClock()
    picker = PeakEwma(decay_s=10, clock=clock)
    (node,) = _nodes(1)
    picker.ended(node, "success", 0.1)
    picker.ended(node, "success", 2.0)
    assert 2.0 == node.cost
    clock.advance(10)

    assert picker.score(node) == pytest.approx(2.0 / math.e, rel=1e-6)
    picker.ended(node, "success", 0.5)
    assert node.cost == pytest.approx(2.0 / math.e + 0.5 * (1 - 1 / math.e))


def test_a_node_that_fails_at_once_does_not_look_fast():
    """Its calls end in a millisecond, and it gets fewer of them, not all."""
    clock = FakeClock()
    latencies = {"a": 0.1, "b": 0.1, "c": 0.1, "bad": 0.001}
    picker = PeakEwma(clock=clock, rng=random.Random(5))
    got, _ = Ring(picker, clock, latencies, failing={"bad"}).run(10_000, 0.01)

    assert got["bad"] < 10_000 / 4 / 2


def test_a_failure_is_forgotten_as_a_peak_is():
    """However long it failed: 32 times the usual, and back in a few decay times."""
    clock = FakeClock()
    picker = PeakEwma(decay_s=10, clock=clock)
    good, bad = _nodes(1, 1)
    picker.ended(good, "success", 0.1)
    costs = []
    for _ in range(8):
        picker.ended(bad, "failure", 0.001)
        costs.append(round(bad.cost, 6))

    assert [0.2, 0.4, 0.8, 1.6, 3.2, 3.2, 3.2, 3.2] == costs
    clock.advance(35)
    assert picker.score(bad) < 0.1


@pytest.mark.parametrize(("ran_s", "cost"), [(0.5, 0.5), (0.05, 0.1)])
def test_a_call_that_was_given_up_teaches_one_way(ran_s, cost):
    """A hedge's loser ran for at least so long: that may raise, never lower."""
    clock = FakeClock()
    balancer = Balancer(
        "t", [Backend(name="a", address="a")], PeakEwma(clock=clock), clock=clock
    )
    balancer.ended(balancer.pick("/t.T/Go"), "OK", 0.1)
    balancer.ended(balancer.pick("/t.T/Go"), "CANCELLED", ran_s)

    assert cost == pytest.approx(balancer.nodes[0].cost)


def test_who_listens_changes_no_pick():
    """The scores of an event are read, and reading them decays nothing."""
    traces = []
    for listener in (None, RecordingListener()):
        clock = FakeClock()
        picker = PeakEwma(clock=clock, rng=random.Random(7))
        latencies = {"a": 0.1, "b": 0.3, "c": 0.05}
        ring = Ring(picker, clock, latencies, listener=listener)
        traces.append(ring.run(2000, 0.013))

    assert traces[0] == traces[1]


@pytest.mark.parametrize("make", [RoundRobin, LeastLoaded, PeakEwma])
def test_the_tried_are_avoided_where_there_are_others(make):
    """One left is the one; none left is as if none had been tried."""
    picker, nodes = make(), _nodes(1, 1, 1)
    picker.follow(nodes)
    left = {picker.pick(nodes, {"b0", "b2"})[0].backend.name for _ in range(20)}
    assert {"b1"} == left

    assert picker.pick(nodes, {"b0", "b1", "b2"})[0] in nodes
    assert "PeakEwma" not in repr(picker) or "decay 10 s" in repr(picker)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Backend(name="", address="x"),
        lambda: Backend(name="a", address=""),
        lambda: Backend(name="a", address="x", distance=-1),
        lambda: Backend(name="a", address="x", distance=float("nan")),
        lambda: Backend(name="a", address="x", weight=0),
        lambda: Backend(name="a", address="x", weight=float("inf")),
        lambda: PeakEwma(decay_s=0),
    ],
)
def test_impossible_backends_and_pickers_are_refused(wrong):
    """What cannot be meant is told when it is made."""
    with pytest.raises(ValueError):
        wrong()
