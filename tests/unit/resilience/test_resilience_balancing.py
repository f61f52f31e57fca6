"""The balancer: picks, ends, ejections and changes of the list, together."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from resilience import BackendEjected, BackendPicked, BackendReturned, NoBackendError
from resilience.balancing import (
    Backend,
    Balancer,
    LeastLoaded,
    LocalityFirst,
    OutlierConfig,
    PeakEwma,
    RoundRobin,
)
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience


def _backends(count, port=""):
    return [Backend(name=f"b{n}", address=f"h{port}:{n}") for n in range(count)]


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
        candidates={"b0": 1.0},
    )
    assert [expected] == listener.events


def test_of_many_candidates_some_are_told():
    """Sixteen of a hundred, so that a pick costs the same, and always the chosen."""
    listener = RecordingListener()
    balancer = Balancer("t", _backends(100), RoundRobin(), listener=listener)
    for _ in range(100):
        balancer.pick("/t.T/Go")

    assert {16} == {len(event.candidates) for event in listener.events}
    assert all(event.backend in event.candidates for event in listener.events)


def test_the_listener_may_ask_the_balancer():
    """Nothing is told under the lock, so a listener that picks itself is served."""
    events = []

    class Asking:
        def on_event(self, event):
            events.append(event)
            if not isinstance(event, BackendPicked):
                balancer.ended(balancer.pick("/t.T/Other"), "OK", 0.1)

    clock = FakeClock()
    config = OutlierConfig(consecutive_failures=1, base_ejection_s=5)
    balancer = Balancer(
        "t",
        _backends(2),
        RoundRobin(),
        outliers=config,
        clock=clock,
        listener=Asking(),
    )
    balancer.ended(balancer.pick("/t.T/Go"), "UNAVAILABLE", 0.1)
    clock.advance(10)
    assert frozenset() == balancer.ejected

    kinds = [type(event) for event in events]
    assert 1 == kinds.count(BackendEjected) == kinds.count(BackendReturned)


def test_nothing_to_pick_from_is_said():
    """No backend at all is an error of its own; a name given twice is refused."""
    balancer = Balancer("t", [], RoundRobin())
    with pytest.raises(NoBackendError, match="no backend of t"):
        balancer.pick("/t.T/Go")
    with pytest.raises(ValueError, match="one name"):
        balancer.update(_backends(1) * 2)


def test_all_ejected_without_panic_is_nobody_to_ask():
    """With the panic threshold at 0 an ejected backend is never used."""
    config = OutlierConfig(consecutive_failures=1, panic_percent=0)
    balancer = Balancer("t", _backends(1), RoundRobin(), outliers=config)
    balancer.ended(balancer.pick("/t.T/Go"), "UNAVAILABLE", 0.1)
    with pytest.raises(NoBackendError):
        balancer.pick("/t.T/Go")

    assert {"b0"} == balancer.ejected


@pytest.mark.parametrize(
    ("code", "passed_on", "out"),
    [
        ("UNAVAILABLE", False, True),
        ("DEADLINE_EXCEEDED", False, True),
        ("UNAVAILABLE", True, False),
        ("INVALID_ARGUMENT", False, False),
        ("CANCELLED", False, False),
        (None, False, False),
    ],
)
def test_only_a_failure_of_its_own_ejects(code, passed_on, out):
    """What a backend passed on, what a caller broke off, what never went: no."""
    config = OutlierConfig(consecutive_failures=1)
    balancer = Balancer("t", _backends(3), RoundRobin(), outliers=config)
    balancer.ended(balancer.pick("/t.T/Go"), code, 0.1, passed_on=passed_on)

    assert out == bool(balancer.ejected)


def test_a_new_address_is_a_new_backend():
    """What was held against the old one is not held against it."""
    config = OutlierConfig(consecutive_failures=1)
    balancer = Balancer("t", _backends(3), RoundRobin(), outliers=config)
    old = balancer.pick("/t.T/Go")
    balancer.ended(old, "UNAVAILABLE", 0.1)
    assert {"b0"} == balancer.ejected
    balancer.update(_backends(3, port="2"))

    assert frozenset() == balancer.ejected
    assert {"h2:0", "h2:1", "h2:2"} == {
        balancer.pick("/t.T/Go").backend.address for _ in range(3)
    }


def test_who_leaves_is_told_when_its_last_call_ends():
    """At once where nothing runs, else by the end of the last call, and once."""
    balancer = Balancer("t", _backends(3), RoundRobin())
    first = [balancer.pick("/t.T/Go") for _ in range(2)]
    second = [balancer.pick("/t.T/Go", avoid={"b0", "b2"}) for _ in range(2)]
    balancer.ended(second[0], "OK", 0.1)
    idle = balancer.update(_backends(1))

    assert ["b2"] == [node.backend.name for node in idle]
    assert not balancer.ended(first[0], "OK", 0.1)
    assert [False, True] == [
        balancer.ended(node, "OK", 0.1) for node in (first[1], second[1])
    ]


def test_what_is_known_of_those_who_stay_is_kept():
    """Calls in flight and estimates outlive an update; weight and place are new."""
    balancer = Balancer("t", _backends(2), PeakEwma())
    node = balancer.pick("/t.T/Go")
    name = node.backend.name
    moved = Backend(name=name, address=node.backend.address, weight=3, distance=9)
    balancer.update([moved])

    assert balancer.nodes == (node,)
    assert (1, moved) == (node.pending, node.backend)
    assert balancer.backends == (moved,)


NAMES = "abcdef"
PICKERS = {
    "round_robin": lambda _clock: RoundRobin(),
    "least_loaded": lambda _clock: LeastLoaded(rng=random.Random(1)),
    "peak_ewma": lambda clock: PeakEwma(clock=clock, rng=random.Random(1)),
    "locality": lambda clock: LocalityFirst(
        PeakEwma(clock=clock, rng=random.Random(1)),
        spill_pending=3,
        rng=random.Random(1),
    ),
}


class Balancing(RuleBasedStateMachine):
    """Calls that begin, end anyhow and overlap, while time and the list move on."""

    def __init__(self):
        super().__init__()
        self.balancer = None

    @precondition(lambda self: self.balancer is None)
    @rule(
        picker=st.sampled_from(sorted(PICKERS)),
        percent=st.sampled_from([0, 10, 34, 60, 100]),
        panic=st.sampled_from([0, 50]),
    )
    def begin(self, picker, percent, panic):
        self.clock = FakeClock()
        self.percent, self.panic = percent, panic
        self.running = []
        config = OutlierConfig(
            consecutive_failures=2,
            interval_s=5,
            max_ejection_percent=percent,
            minimum_hosts=2,
            request_volume=3,
            failure_percentage_threshold=60,
            panic_percent=panic,
        )
        made = PICKERS[picker](self.clock)
        self.balancer = Balancer(
            "t", self._some(NAMES), made, outliers=config, clock=self.clock
        )
        self.ejected_ever = 0

    @staticmethod
    def _some(names, weight=1.0):
        return [
            Backend(name=n, address=n, weight=weight + (n > "c"), distance=i // 2)
            for i, n in enumerate(names)
        ]

    @precondition(lambda self: self.balancer is not None)
    @rule(avoid=st.sets(st.sampled_from(NAMES), max_size=3), streaming=st.booleans())
    def pick(self, avoid, streaming):
        out = self.balancer.ejected
        names = {b.name for b in self.balancer.backends}
        if out == names:
            with pytest.raises(NoBackendError):
                self.balancer.pick("/t.T/Go", avoid=avoid)
            return
        node = self.balancer.pick("/t.T/Go", avoid=avoid, streaming=streaming)
        assert node.backend.name in names - out
        if names - out - avoid:
            assert node.backend.name not in avoid
        self.running.append((node, streaming))

    @precondition(lambda self: self.balancer is not None and self.running)
    @rule(
        data=st.data(),
        code=st.sampled_from(
            ["OK", "OK", "UNAVAILABLE", "UNAVAILABLE", "CANCELLED", None]
        ),
        latency=st.floats(0, 9),
    )
    def end(self, data, code, latency):
        at = data.draw(st.integers(0, len(self.running) - 1))
        node, streaming = self.running.pop(at)
        last = self.balancer.ended(node, code, latency, streaming=streaming)
        assert last == (node.retired and not node.pending)

    @precondition(lambda self: self.balancer is not None)
    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @precondition(lambda self: self.balancer is not None)
    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1), weight=st.floats(0.5, 4))
    def update(self, names, weight):
        self.balancer.update(self._some(sorted(names), weight))
        self.ejected_ever = len(self.balancer._outliers._out)

    @invariant()
    def pending_is_what_runs(self):
        if self.balancer is None:
            return
        for node in self.balancer.nodes:
            mine = [streaming for each, streaming in self.running if each is node]
            assert node.pending == len(mine)
            assert node.streams == sum(mine)

    @invariant()
    def few_are_out(self):
        if self.balancer is None:
            return
        out, count = len(self.balancer._outliers._out), len(self.balancer.backends)
        # An update that takes healthy ones away leaves the share to time.
        assert out <= max(1, count * self.percent / 100, self.ejected_ever)
        in_panic = count - out < count * self.panic / 100
        assert not in_panic or not self.balancer.ejected


TestBalancing = Balancing.TestCase
TestBalancing.__doc__ = "Whatever happens: the ejected are not asked, counts are true."


@given(st.integers(1, 6), st.integers(1, 40))
def test_every_end_undoes_its_pick(count, calls):
    """When all calls have ended nothing is in flight, whoever had them."""
    balancer = Balancer("t", _backends(count), LeastLoaded())
    nodes = [balancer.pick("/t.T/Go") for _ in range(calls)]
    spread = {node.pending for node in balancer.nodes}
    assert calls == sum(node.pending for node in balancer.nodes)
    for node in nodes:
        balancer.ended(node, "OK", 0.01)

    assert {0} == {node.pending for node in balancer.nodes}
    assert max(spread) >= calls / count
