"""Picks and ejections: Finagle's PeakEwma, Envoy's and gRPC's outlier detection."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import BackendEjected, BackendPicked, BackendReturned, NoBackendError
from resilience.balancing import (
    Backend,
    Balancer,
    LeastLoaded,
    LocalityFirst,
    OutlierConfig,
    Outliers,
    PeakEwma,
    RoundRobin,
)
from resilience.balancing._backend import Node
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience


def _backends(count, distance=0.0, prefix="b"):
    return [
        Backend(name=f"{prefix}{n}", address=f"h:{n}", distance=distance)
        for n in range(count)
    ]


class Ring:
    """A balancer over *count* backends, each with a latency of its own."""

    def __init__(self, picker, clock, latencies, **options):
        self.clock = clock
        self.latencies = latencies
        backends = [Backend(name=name, address=name) for name in latencies]
        self.balancer = Balancer("t", backends, picker, clock=clock, **options)

    def run(self, calls, every_s):
        """Make calls at a fixed pace; return how many each backend got."""
        running, got = [], Counter()
        load = Counter()
        for _ in range(calls):
            self.clock.advance(every_s)
            for end, node, latency in [r for r in running if r[0] <= self.clock()]:
                self.balancer.ended(node, "OK", latency)
                running.remove((end, node, latency))
            node = self.balancer.pick("/t.T/Go")
            name = node.backend.name
            got[name] += 1
            latency = self.latencies[name]
            running.append((self.clock() + latency, node, latency))
            for each in self.balancer._nodes.values():
                load[each.backend.name] += each.pending
        return got, {name: total / calls for name, total in load.items()}


def test_round_robin_takes_turns():
    """Every backend gets the same number of calls, slow or not."""
    clock = FakeClock()
    ring = Ring(RoundRobin(), clock, {"a": 0.1, "b": 1.0, "c": 0.1})

    got, _ = ring.run(300, 0.01)
    assert {"a": 100, "b": 100, "c": 100} == got


@pytest.mark.parametrize("picker", ["ewma", "least"])
def test_equal_nodes_share_evenly(picker):
    """P2CPeakEwmaTest: nodes that are alike get about the same."""
    clock, rng = FakeClock(), random.Random(5)
    made = PeakEwma(clock=clock, rng=rng) if picker == "ewma" else LeastLoaded(rng=rng)
    got, _ = Ring(made, clock, dict.fromkeys("abcde", 0.1)).run(5000, 0.001)

    assert max(got.values()) < 1.15 * min(got.values())


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
        ring.balancer._nodes[name].cost = 0.01
    got, _ = ring.run(2000, 0.01)

    assert 1 == got["new"]


def test_peak_ewma_jumps_up_and_decays_down():
    """A peak replaces the estimate; later it fades with the decay's time constant."""
    clock = FakeClock()
    picker = PeakEwma(decay_s=10, clock=clock)
    node = Node(Backend(name="a", address="a"), 0.0)
    picker.ended(node, 0.1)
    picker.ended(node, 2.0)
    assert 2.0 == node.cost
    clock.advance(10)

    assert picker.score(node) == pytest.approx(2.0 / 2.718281828, rel=1e-6)


def _locality(near, far, *, spill=None, total=None):
    picker = LocalityFirst(RoundRobin(), spill_pending=spill, rng=random.Random(3))
    if total is not None:
        picker.know({0.0: total, 5.0: far})
    nodes = [Node(b, 0.0) for b in _backends(near) + _backends(far, 5.0, "far")]
    return picker, nodes


@pytest.mark.parametrize(
    ("healthy", "total", "near_share"),
    [
        pytest.param(10, 10, 1.0, id="all healthy"),
        pytest.param(8, 10, 1.0, id="80 % healthy still takes all"),
        pytest.param(5, 10, 0.7, id="50 % healthy takes 70 %"),
        pytest.param(1, 10, 0.14, id="10 % healthy takes 14 %"),
    ],
)
def test_locality_overflows_as_envoy_does(healthy, total, near_share):
    """Envoy's table: health times 1.4, up to all of it."""
    picker, nodes = _locality(healthy, 3, total=total)
    picks = [picker.pick(nodes)[0].backend.distance == 0 for _ in range(5000)]

    assert sum(picks) / 5000 == pytest.approx(near_share, abs=0.03)


def test_locality_overflows_when_the_nearest_are_busy():
    """Only when every near node has its fill do calls go further."""
    picker, nodes = _locality(2, 1, spill=2)
    nodes[0].pending = 5
    assert "nearest, next in turn" == picker.pick(nodes)[1]
    nodes[1].pending = 2

    node, reason = picker.pick(nodes)
    assert ("far0", "overflow, next in turn") == (node.backend.name, reason)


def test_a_pick_is_told_with_its_candidates():
    """Whoever listens learns what was chosen, among what, and why."""
    listener = RecordingListener()
    balancer = Balancer("t", _backends(1), LeastLoaded(), listener=listener)
    balancer.pick("/t.T/Go")

    expected = BackendPicked(
        target="t",
        method="/t.T/Go",
        policy="least_loaded",
        backend="b0",
        reason="the only one",
        candidates={"b0": 0.0},
    )
    assert [expected] == listener.events


def test_another_backend_is_tried_where_there_is_one():
    """The backend of the attempt before is avoided, unless it is the only one."""
    balancer = Balancer("t", _backends(2), RoundRobin())
    assert {"b1"} == {
        balancer.pick("/t.T/Go", avoid="b0").backend.name for _ in range(10)
    }
    balancer.update(_backends(1))
    assert "b0" == balancer.pick("/t.T/Go", avoid="b0").backend.name


def test_nothing_to_pick_from_is_said():
    """No backend at all is an error of its own; a name given twice is refused."""
    balancer = Balancer("t", [], RoundRobin())
    with pytest.raises(NoBackendError, match="no backend of t"):
        balancer.pick("/t.T/Go")
    with pytest.raises(ValueError, match="one name"):
        balancer.update(_backends(1) * 2)


class Sweep:
    """Outlier detection under a fake clock."""

    def __init__(self, hosts, **config):
        self.clock, self.listener = FakeClock(), RecordingListener()
        self.outliers = Outliers(
            "t", OutlierConfig(**config), clock=self.clock, listener=self.listener
        )
        self.outliers.follow(set(hosts))

    def feed(self, rates, volume=100):
        for name, rate in rates.items():
            for n in range(volume):
                self.outliers.record(name, ok=n < rate * volume / 100)

    def out_at(self, seconds):
        self.clock.now = seconds
        return set(self.outliers.ejected())


HOSTS = ("a", "b", "c", "d", "e")


def test_success_rate_as_envoys_case_has_it():
    """Rates 100,100,100,100,50, factor 1.9: mean 90, threshold 52, the last goes."""
    sweep = Sweep(HOSTS, base_ejection_s=10, interval_s=10, max_ejection_percent=20)
    sweep.feed({**dict.fromkeys("abcd", 100), "e": 50})

    assert set() == sweep.out_at(9.999)
    assert {"e"} == sweep.out_at(10.0)
    assert {"e"} == sweep.out_at(19.999)
    assert set() == sweep.out_at(20.0)
    (ejected,) = sweep.listener.of(BackendEjected)
    assert ("success_rate", 10.0) == (ejected.reason, ejected.for_s)
    assert ["e"] == [event.backend for event in sweep.listener.of(BackendReturned)]


def test_failure_percentage_as_grpcs_case_has_it():
    """Three addresses, threshold 1, one failed call: out at the sweep, back at 20 s."""
    sweep = Sweep(
        ("a", "b", "c"),
        success_rate_stdev_factor=None,
        failure_percentage_threshold=1,
        minimum_hosts=1,
        request_volume=1,
        base_ejection_s=1,
        max_ejection_s=1,
        max_ejection_percent=1,
    )
    sweep.outliers.record("a", ok=False)

    assert {"a"} == sweep.out_at(10.0)
    assert set() == sweep.out_at(20.0)


def test_failure_percentage_is_more_than_the_threshold():
    """gRFC A50's text: exactly the threshold stays."""
    sweep = Sweep(
        HOSTS,
        success_rate_stdev_factor=None,
        failure_percentage_threshold=50,
        max_ejection_percent=20,
    )
    sweep.feed({**dict.fromkeys("abcd", 100), "e": 50})

    assert set() == sweep.out_at(10.0)


def test_a_share_at_most_is_out():
    """Of five that all fail, 40 % are ejected and no more; one always may be."""
    config = {
        "success_rate_stdev_factor": None,
        "failure_percentage_threshold": 10,
        "panic_percent": 0,
    }
    sweep = Sweep(HOSTS, max_ejection_percent=40, **config)
    sweep.feed(dict.fromkeys(HOSTS, 0))
    assert 2 == len(sweep.out_at(10.0))

    sweep = Sweep(HOSTS, max_ejection_percent=0, **config)
    sweep.feed(dict.fromkeys(HOSTS, 0))
    assert 1 == len(sweep.out_at(10.0))


def test_in_a_panic_everybody_is_asked():
    """With less than half left, ejecting is worse than asking the bad ones."""
    sweep = Sweep(HOSTS, max_ejection_percent=100, consecutive_failures=1)
    for name in "ab":
        sweep.outliers.record(name, ok=False)
    assert {"a", "b"} == sweep.out_at(1.0)
    sweep.outliers.record("c", ok=False)

    assert set() == sweep.out_at(2.0)


def test_ejections_lengthen_and_are_made_good():
    """Each ejection is longer; each healthy sweep shortens the next one."""
    sweep = Sweep(HOSTS, base_ejection_s=10, max_ejection_s=25, consecutive_failures=2)
    lengths, now = [], 0.0
    for _ in range(4):
        sweep.outliers.record("a", ok=False)
        sweep.outliers.record("a", ok=False)
        begun = now
        while sweep.out_at(now):
            now += 10
        lengths.append(now - begun)

    assert [10, 20, 25, 25] == [e.for_s for e in sweep.listener.of(BackendEjected)]
    assert [10, 20, 30, 30] == lengths
    for _ in range(4):
        now += 10
        sweep.out_at(now)
    sweep.outliers.record("a", ok=False)
    sweep.outliers.record("a", ok=False)
    assert 10 == sweep.listener.of(BackendEjected)[-1].for_s


def test_nothing_configured_ejects_nobody():
    """Without a rule the worst backend stays."""
    sweep = Sweep(HOSTS, success_rate_stdev_factor=None)
    sweep.feed({**dict.fromkeys("abcd", 100), "e": 0})

    assert set() == sweep.out_at(10.0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.booleans(), st.floats(0, 3)),
        max_size=300,
    ),
    st.sampled_from([0, 10, 34, 100]),
)
def test_the_ejected_get_no_call_and_stay_few(steps, percent):
    """Whatever fails: an ejected one is not picked, and the bound holds."""
    clock = FakeClock()
    config = OutlierConfig(
        consecutive_failures=2,
        interval_s=5,
        max_ejection_percent=percent,
        minimum_hosts=2,
        request_volume=3,
    )
    outliers = Outliers("t", config, clock=clock)
    backends = [Backend(name=n, address=n) for n in "abcdef"]
    balancer = Balancer("t", backends, RoundRobin(), outliers=outliers, clock=clock)
    for _, ok, seconds in steps:
        clock.advance(seconds)
        out = outliers.ejected()
        node = balancer.pick("/t.T/Go")
        assert node.backend.name not in out
        assert node.pending == 1
        balancer.ended(node, "OK" if ok else "UNAVAILABLE", 0.01)

        assert len(outliers._out) <= max(1, -(-6 * percent // 100))
        assert node.pending == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: OutlierConfig(interval_s=0),
        lambda: OutlierConfig(max_ejection_percent=101),
        lambda: OutlierConfig(failure_percentage_threshold=-1),
        lambda: OutlierConfig(minimum_hosts=0),
        lambda: OutlierConfig(consecutive_failures=0),
        lambda: Backend(name="", address="x"),
        lambda: Backend(name="a", address="x", distance=-1),
        lambda: PeakEwma(decay_s=0),
        lambda: LocalityFirst(RoundRobin(), overprovision=0.5),
        lambda: LocalityFirst(RoundRobin(), spill_pending=0),
    ],
)
def test_impossible_values_are_refused(wrong):
    """What cannot be meant is told when it is made."""
    with pytest.raises(ValueError):
        wrong()
