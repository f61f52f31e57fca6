"""Those who matter more find a place, whatever the crowd below them."""

import heapq
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import AdaptiveLimiter, Criticality, LimitConfig, SheddingConfig
from resilience._limits import FixedConfig
from resilience._reserve import Reserve
from resilience._shedding import Shedder
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience

SHEDDABLE, PLUS = Criticality.SHEDDABLE, Criticality.CRITICAL_PLUS
CRITICAL = Criticality.CRITICAL


class Server:
    """A server of *places* whose calls take a second on average, at random."""

    def __init__(self, places, seed, **config):
        self.clock, self.rng = FakeClock(), random.Random(seed)
        self.limiter = AdaptiveLimiter(
            "server", LimitConfig(algorithm=FixedConfig(limit=places)), clock=self.clock
        )
        self.shedder = Shedder(
            self.limiter, SheddingConfig(**config), clock=self.clock, rng=self.rng
        )
        self.running = []

    def run(self, loads, seconds=100):
        """Offer each criticality its load, in parts of the capacity; return its part
        that was served, and the part of the capacity that was used.
        """
        start, places = self.clock(), self.limiter.limit
        arrivals = []
        for level, load in loads.items():
            at = 0.0
            while (at := at + self.rng.expovariate(load * places)) < seconds:
                arrivals.append((start + at, level))
        served, asked = dict.fromkeys(loads, 0), dict.fromkeys(loads, 0)
        used_s = 0.0
        for at, level in sorted(arrivals, key=lambda arrival: arrival[0]):
            while self.running and self.running[0][0] <= at:
                self.clock.now, _, place = heapq.heappop(self.running)
                self.limiter.release(place, "success")
            self.clock.now = at
            asked[level] += 1
            place = self.shedder.admit(level)
            if place is not None:
                served[level] += 1
                takes_s = self.rng.expovariate(1.0)
                used_s += takes_s
                heapq.heappush(self.running, (at + takes_s, id(place), place))
        parts = {level: served[level] / asked[level] for level in loads}
        return parts, used_s / seconds / places


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("places", [20, 100])
def test_few_places_are_no_excuse(places, seed):
    """At 20 places as at 100, 99.4 % of the critical are served in a crowd of 12."""
    server = Server(places, seed)
    server.run({CRITICAL: 0.3}, 20)
    parts, used = server.run({CRITICAL: 0.3, SHEDDABLE: 3.6})

    assert parts[CRITICAL] >= 0.994
    # A fifth of 20 places and more is kept; the rest is filled.
    assert used >= 0.6


@pytest.mark.parametrize("seed", range(2))
def test_many_critical_calls_are_protected_too(seed):
    """With 70 % of the places needed, more is kept than a fixed share would."""
    server = Server(100, seed)
    server.run({CRITICAL: 0.7}, 20)
    parts, used = server.run({CRITICAL: 0.7, SHEDDABLE: 8.4})

    assert parts[CRITICAL] >= 0.994
    assert used >= 0.75


@pytest.mark.parametrize("seed", range(2))
def test_the_most_critical_are_protected_from_the_critical(seed):
    """A crowd of CRITICAL calls leaves room for CRITICAL_PLUS, once some came."""
    server = Server(100, seed)
    server.run({CRITICAL: 3.0, PLUS: 0.05}, 20)
    parts, used = server.run({CRITICAL: 3.0, PLUS: 0.05})

    assert parts[PLUS] >= 0.994
    assert used >= 0.9


def test_nothing_is_kept_for_nobody():
    """Where the most critical never come, the critical have the whole limit."""
    server = Server(50, 1)
    _, used = server.run({CRITICAL: 3.0})

    assert (1.0, 1.0) == server.shedder._reserve.shares[2:]
    assert used >= 0.97


def test_what_was_kept_is_given_back():
    """Seconds after the critical went, the sheddable have their share again."""
    server = Server(100, 1)
    server.run({CRITICAL: 0.9, SHEDDABLE: 1.0}, 20)
    assert server.shedder._reserve.shares[0] < 0.8
    server.run({SHEDDABLE: 1.0}, 20)

    assert "<Reserve 80% 90% 100% 100%>" == repr(server.shedder._reserve)


def test_an_idle_minute_is_worth_as_much_as_a_busy_one():
    """Needs of a minute ago are forgotten at the first call after it."""
    reserve = Reserve((1.0, 1.0), 0.998)
    for _ in range(50):
        reserve.adapt([0, 70], 100, 1.0)
    assert (0.83, 1.0) == reserve.shares
    reserve.adapt([0, 0], 100, 600.0)

    assert (1.0, 1.0) == reserve.shares


def test_a_rare_visitor_is_forgotten():
    """A single call keeps a place free for seconds, not for ever."""
    reserve = Reserve((1.0, 1.0), 0.998)
    reserve.adapt([0, 1], 100, 1.0)
    assert (0.99, 1.0) == reserve.shares
    for _ in range(20):
        reserve.adapt([0, 0], 100, 1.0)

    assert (1.0, 1.0) == reserve.shares


@pytest.mark.parametrize(
    ("refused", "share"), [(30, 0.95), (100, 0.79), (1000, 0.79)], ids=str
)
def test_the_refused_have_needs_too(refused, share):
    """Calls that found no place count as if in flight; no more than would fill it.

    More come in an interval than are in flight at once, where calls are quick: a need
    of thrice the limit would keep less than one of all of it.
    """
    reserve = Reserve((1.0, 1.0), 0.998)
    for _ in range(30):
        for _ in range(refused):
            reserve.refused(1)
        reserve.adapt([100, 0], 100, 1.0)

    assert pytest.approx(share) == reserve.shares[0]


def test_who_never_found_a_place_soon_does():
    """CRITICAL_PLUS calls that were refused keep the next CRITICAL ones out."""
    server = Server(10, 1)
    places = [server.shedder.admit(CRITICAL) for _ in range(10)]
    for _ in range(20):
        server.clock.advance(0.05)
        assert server.shedder.admit(PLUS) is None
    for place in places[:3]:
        server.limiter.release(place, "ignored")

    assert server.shedder.admit(CRITICAL) is None
    assert server.shedder.admit(PLUS) is not None


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 300), min_size=4, max_size=4),
            st.integers(1, 200),
            st.floats(0.1, 1e6),
        ),
        max_size=50,
    )
)
def test_shares_stay_in_bounds(steps):
    """Whatever is in flight, shares are parts, and the most critical have all."""
    reserve = Reserve((0.8, 0.9, 1.0, 1.0), 0.998)
    for in_flight, limit, intervals in steps:
        reserve.adapt(in_flight, limit, intervals)

        assert all(0 <= share <= 1 for share in reserve.shares)
        assert 1.0 == reserve.shares[3]
        assert reserve.shares == tuple(sorted(reserve.shares))
