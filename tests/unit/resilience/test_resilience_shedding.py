"""The least critical go first; the SRE book's levels and client-side throttling."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import (
    AdaptiveLimiter,
    AIMDConfig,
    ClientThrottle,
    Criticality,
    LimitConfig,
    Shedder,
    SheddingConfig,
    ThrottleConfig,
    criticality_scope,
    current_criticality,
)
from resilience._criticality import lowered, parse_criticality
from resilience._errors import ThrottledError
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


class Server:
    """Serves *places* calls at once, each for *service_s*, under a fake clock."""

    def __init__(self, places, service_s):
        self.clock = FakeClock()
        self.limiter = AdaptiveLimiter(
            "server",
            LimitConfig(
                algorithm=AIMDConfig(initial=places, least=places, most=places)
            ),
            clock=self.clock,
        )
        self.shedder = Shedder(
            self.limiter, SheddingConfig(), clock=self.clock, rng=random.Random(7)
        )
        self.service_s = service_s
        self.running = []
        self.answered = dict.fromkeys(Criticality, 0)
        self.asked = dict.fromkeys(Criticality, 0)

    def run(self, rates, seconds, rng):
        """Offer each criticality its rate of calls a second, at random times."""
        arrivals = sorted(
            (rng.uniform(0, seconds), level)
            for level, rate in rates.items()
            for _ in range(int(rate * seconds))
        )
        start = self.clock()
        for at, level in arrivals:
            self.clock.advance(max(0.0, start + at - self.clock()))
            while self.running and self.running[0][0] <= self.clock():
                self.limiter.release(self.running.pop(0)[1], "success")
            self.asked[level] += 1
            place = self.shedder.admit(level)
            if place is not None:
                self.answered[level] += 1
                self.running.append((self.clock() + self.service_s, place))


def test_the_critical_survive_a_twelvefold_crowd_of_the_sheddable():
    """At least 99.4 % of the critical calls succeed while 12 times as many come."""
    server = Server(places=100, service_s=0.1)
    rng = random.Random(11)
    # 1000 a second can be served; 300 of them are critical in both parts.
    server.run({Criticality.CRITICAL: 300}, 2, rng)
    server.run({Criticality.CRITICAL: 300, Criticality.SHEDDABLE: 3600}, 10, rng)

    critical = (
        server.answered[Criticality.CRITICAL] / server.asked[Criticality.CRITICAL]
    )
    assert critical >= 0.994
    # And the rest of the capacity is not wasted on nobody.
    assert server.answered[Criticality.SHEDDABLE] >= 0.5 * 700 * 10


def test_within_a_level_chance_decides():
    """Where all are alike, overload sheds a part of them and not all."""
    server = Server(places=100, service_s=0.1)
    server.run({Criticality.CRITICAL: 2000}, 10, random.Random(3))

    served = server.answered[Criticality.CRITICAL]
    assert 0.85 * 1000 * 10 <= served <= 1001 * 10


def test_the_threshold_comes_down_after_the_crowd():
    """Once nothing is turned away, shedding ends by itself."""
    server = Server(places=100, service_s=0.1)
    rng = random.Random(5)
    server.run({Criticality.SHEDDABLE: 5000}, 3, rng)
    assert server.shedder.rate > 0.3
    server.run({Criticality.SHEDDABLE: 100}, 5, rng)

    assert 0.0 == server.shedder.rate
    assert "<Shedder 0% shed, below rank 0>" == repr(server.shedder)


def test_the_most_critical_are_never_shed_by_rank():
    """CRITICAL_PLUS meets a full limit only, whatever the threshold."""
    server = Server(places=10, service_s=1.0)
    server.run({Criticality.CRITICAL_PLUS: 1000}, 2, random.Random(1))

    assert server.shedder.threshold <= Criticality.CRITICAL_PLUS.rank * 100


@given(st.lists(st.sampled_from(list(Criticality)), min_size=1, max_size=300))
def test_ranks_are_remembered_in_bounds(levels):
    """The memory of ranks stays as large as configured, and sorted."""
    clock = FakeClock()
    limiter = AdaptiveLimiter("server", LimitConfig(), clock=clock)
    shedder = Shedder(limiter, SheddingConfig(memory=20), clock=clock)
    for level in levels:
        clock.advance(0.01)
        shedder.admit(level)

    assert len(shedder._ranks) == len(shedder._sorted) <= 20
    assert sorted(shedder._ranks) == shedder._sorted


def test_criticality_travels_as_words():
    """Four words, read whatever their case; what is no level is nothing."""
    assert Criticality.SHEDDABLE is parse_criticality("Sheddable")
    assert Criticality.CRITICAL_PLUS is parse_criticality(b"critical-plus")
    assert parse_criticality("urgent") is None
    assert parse_criticality(None) is None


def test_extra_work_is_one_level_lower():
    """A hedge of a critical call is sheddable first; nothing is below the last."""
    assert Criticality.SHEDDABLE_PLUS is lowered(Criticality.CRITICAL)
    assert Criticality.SHEDDABLE is lowered(Criticality.SHEDDABLE)


def test_the_scope_ends():
    """A criticality holds inside its block and is gone after it."""
    with criticality_scope(Criticality.SHEDDABLE):
        assert Criticality.SHEDDABLE is current_criticality()
    assert current_criticality() is None


def _throttle(**config):
    clock = FakeClock()
    throttle = ClientThrottle(
        "catalog", ThrottleConfig(**config), clock=clock, rng=random.Random(2)
    )
    return throttle, clock


@pytest.mark.parametrize(
    ("requests", "accepts", "expected"),
    [
        pytest.param(100, 100, 0.0, id="all accepted"),
        pytest.param(100, 50, 0.0, id="half accepted, K is 2"),
        pytest.param(100, 25, 50 / 101, id="a quarter accepted"),
        pytest.param(9, 0, 0.9, id="none accepted"),
        pytest.param(1000, 0, 0.95, id="never all"),
    ],
)
def test_the_sre_books_formula(requests, accepts, expected):
    """max(0, (requests - K * accepts) / (requests + 1)), below the maximum."""
    throttle, _ = _throttle()
    throttle._part()[1:] = [requests, accepts]
    throttle.requests, throttle.accepts = requests, accepts

    assert throttle.probability == pytest.approx(expected)


def test_a_dead_callee_gets_few_calls_and_a_healed_one_all():
    """In an outage most calls are held back; when it ends, none soon."""
    throttle, clock = _throttle(window_s=10.0)

    def ask(count, alive):
        sent = 0
        for _ in range(count):
            clock.advance(0.01)
            try:
                throttle.admit()
            except ThrottledError:
                continue
            sent += 1
            throttle.finished(accepted=alive)
        return sent

    assert 500 == ask(500, alive=True)
    ask(1000, alive=False)
    assert ask(500, alive=False) < 60
    ask(4000, alive=True)
    assert ask(500, alive=True) == 500


def test_requests_count_before_they_are_sent():
    """A burst of unanswered requests is seen at once, not a round trip later."""
    throttle, _ = _throttle()
    throttle.admit()

    assert throttle.probability == pytest.approx(0.5)


def test_the_window_forgets():
    """What is older than the window counts no more."""
    throttle, clock = _throttle(window_s=10.0)
    for _ in range(20):
        with contextlib.suppress(ThrottledError):
            throttle.admit()
    clock.advance(11)

    assert 0.0 == throttle.probability
    assert 0 == throttle.requests


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ThrottleConfig(k=0.5),
        lambda: ThrottleConfig(window_s=0),
        lambda: ThrottleConfig(max_probability=1.0),
        lambda: SheddingConfig(sheddable_share=0),
        lambda: SheddingConfig(sheddable_share=0.95),
        lambda: SheddingConfig(interval_s=0),
        lambda: SheddingConfig(memory=5),
    ],
)
def test_impossible_values_are_refused(wrong):
    """A throttle lets something through; shares rise with criticality."""
    with pytest.raises(ValueError):
        wrong()
