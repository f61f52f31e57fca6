"""The least critical go first, and nobody is turned away while there is room."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import (
    AdaptiveLimiter,
    AIMDConfig,
    Criticality,
    LimitConfig,
    Shedder,
    SheddingConfig,
    criticality_scope,
    current_criticality,
)
from resilience._criticality import (
    current_level,
    lowered,
    parse_criticality,
    parse_level,
    user_level,
)
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
        self.users = []
        self.answered = dict.fromkeys(Criticality, 0)
        self.asked = dict.fromkeys(Criticality, 0)

    def run(self, rates, seconds, rng, *, level=None):
        """Offer each criticality its rate of calls a second, at random times.

        *level* makes a user's level for each call, where users are told.
        """
        arrivals = sorted(
            (rng.uniform(0, seconds), level)
            for level, rate in rates.items()
            for _ in range(int(rate * seconds))
        )
        start = self.clock()
        for at, criticality in arrivals:
            self.clock.advance(max(0.0, start + at - self.clock()))
            while self.running and self.running[0][0] <= self.clock():
                self.limiter.release(self.running.pop(0)[1], "success")
            self.asked[criticality] += 1
            user = None if level is None else level()
            place = self.shedder.admit(criticality, user)
            self.users.append((user, place is not None))
            if place is not None:
                self.answered[criticality] += 1
                self.running.append((self.clock() + self.service_s, place))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("critical", [100, 300, 600])
def test_the_critical_survive_a_twelvefold_crowd_of_the_sheddable(critical, seed):
    """At least 99.4 % of the critical calls succeed while 12 times as many come."""
    server = Server(places=100, service_s=0.1)
    rng = random.Random(seed)
    # 1000 a second can be served; as many are critical in both parts.
    server.run({Criticality.CRITICAL: critical}, 2, rng)
    server.run(
        {Criticality.CRITICAL: critical, Criticality.SHEDDABLE: 12 * critical}, 10, rng
    )

    critical = (
        server.answered[Criticality.CRITICAL] / server.asked[Criticality.CRITICAL]
    )
    assert critical >= 0.994
    # And the rest of the capacity is not wasted on nobody.
    assert sum(server.answered.values()) >= 0.65 * 1000 * 10


@pytest.mark.parametrize("load", [0.8, 1.0, 2.0, 5.0])
def test_where_all_are_alike_nobody_is_shed_while_there_is_room(load):
    """Without levels a shedder serves just those whom the limit alone would serve."""
    shedding, plain = Server(100, 0.1), Server(100, 0.1)
    plain.shedder.admit = lambda *_: plain.limiter.try_acquire()
    for server in (shedding, plain):
        server.run({Criticality.CRITICAL: 1000 * load}, 10, random.Random(3))

    assert plain.answered == shedding.answered


def test_under_overload_the_same_users_are_served():
    """DAGOR: the upper half of the users is served, and few places stay empty."""
    server = Server(places=100, service_s=0.1)
    rng = random.Random(3)
    server.run({Criticality.CRITICAL: 2000}, 3, rng, level=lambda: rng.randrange(100))
    server.users.clear()
    before = server.answered[Criticality.CRITICAL]
    server.run({Criticality.CRITICAL: 2000}, 10, rng, level=lambda: rng.randrange(100))

    upper = [served for user, served in server.users if user >= 60]
    lower = [served for user, served in server.users if user < 40]
    assert sum(upper) / len(upper) >= 0.9
    assert sum(lower) / len(lower) <= 0.25
    assert server.answered[Criticality.CRITICAL] - before >= 0.9 * 1000 * 10


def test_an_idle_hour_ends_the_shedding():
    """Shedding does not outlive the overload because nobody called meanwhile."""
    server = Server(places=20, service_s=0.1)
    server.run({Criticality.SHEDDABLE: 5000}, 3, random.Random(5))
    assert server.shedder.rate > 0.3
    server.clock.advance(3600)
    server.shedder.admit(Criticality.SHEDDABLE)

    assert (0.0, 0) == (server.shedder.rate, server.shedder.threshold)


def test_one_refusal_is_no_overload():
    """A single call turned away in an interval raises the rate by a few percent."""
    server = Server(places=1, service_s=10.0)
    held = server.shedder.admit(Criticality.CRITICAL)
    assert server.shedder.admit(Criticality.CRITICAL) is None
    server.clock.advance(0.1)
    server.limiter.release(held, "success")
    server.shedder.admit(Criticality.CRITICAL)

    assert 0 < server.shedder.rate <= 0.1


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
    server.run({Criticality.CRITICAL_PLUS: 1000}, 2, random.Random(1), level=lambda: 0)

    assert server.shedder.rate > 0.5
    assert Criticality.CRITICAL_PLUS.rank * 100 == server.shedder.threshold
    server.clock.advance(1.0)
    for _, place in server.running:
        server.limiter.release(place, "success")
    assert server.shedder.admit(Criticality.CRITICAL_PLUS, 0) is not None


@given(st.lists(st.sampled_from(list(Criticality)), min_size=1, max_size=300))
def test_ranks_are_remembered_in_bounds(levels):
    """The memory of ranks stays as large as configured, and sorted."""
    clock = FakeClock()
    limiter = AdaptiveLimiter("server", LimitConfig(), clock=clock)
    shedder = Shedder(limiter, SheddingConfig(memory=20), clock=clock)
    for level in levels:
        clock.advance(0.01)
        shedder.admit(level)

    assert len(shedder._ranks) == min(20, len(levels))
    assert sorted(shedder._ranks) == [
        rank for rank, count in enumerate(shedder._counts) for _ in range(count)
    ]


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
    with criticality_scope(Criticality.SHEDDABLE, user=7):
        with criticality_scope(Criticality.CRITICAL):
            assert 7 == current_level()
        assert Criticality.SHEDDABLE is current_criticality()
    assert (None, None) == (current_criticality(), current_level())
    with pytest.raises(ValueError), criticality_scope(None, user=100):
        pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0), (b"99", 99), ("07", 7), (None, None)]
    + [
        (wrong, None) for wrong in ("", "100", "-1", "1.", " 1", "x", "\u0663", b"\xff")
    ],
)
def test_a_level_is_read_or_nothing(value, expected):
    """Whatever a caller sends, reading its level never raises."""
    assert expected == parse_level(value)


def test_a_users_level_is_everybodys_and_takes_turns():
    """All hops find one level for an hour; later it is another, evenly spread."""
    levels = [user_level(f"user-{n}", 7200.0) for n in range(10_000)]

    assert levels == [user_level(f"user-{n}", 10_799.9) for n in range(10_000)]
    assert 26 == user_level("alice", 0.0)
    later = [user_level(f"user-{n}", 10_800.0) for n in range(10_000)]
    assert sum(a == b for a, b in zip(levels, later, strict=True)) < 200
    assert all(50 <= levels.count(level) <= 160 for level in range(100))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SheddingConfig(sheddable_share=0),
        lambda: SheddingConfig(sheddable_share=0.95),
        lambda: SheddingConfig(interval_s=0),
        lambda: SheddingConfig(memory=5),
        lambda: SheddingConfig(low_share=0),
        lambda: SheddingConfig(queue_target_s=0),
    ],
)
def test_impossible_values_are_refused(wrong):
    """Shares rise with criticality; all of them let somebody in."""
    with pytest.raises(ValueError):
        wrong()
