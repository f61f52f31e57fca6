"""What is learned of gateways: response times, round trips, where a range is served."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.scores import ResponseTimes, RoundTrips
from cockroach.topology import REGIONS, Gateway
from cockroach.workload import FollowWorkload
from resilience.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def gateway(region: str) -> Gateway:
    return Gateway(name=f"{region}-a", region=region, zone="a", host="h", port=1)


def test_a_peak_counts_at_once_and_fades(clock) -> None:
    """One slow answer makes a gateway slow; time alone makes it worth another try."""
    times = ResponseTimes(clock=clock, decay_s=5.0)
    for _ in range(20):
        clock.advance(0.1)
        times.answered("eu-a", ok=True, latency_s=0.002)
        times.answered("eu-b", ok=True, latency_s=0.002)
    times.answered("eu-a", ok=True, latency_s=0.3)
    assert times.score("eu-a", 0) == pytest.approx(0.3)
    assert times.score("eu-b", 0) == pytest.approx(0.002)
    clock.advance(5.0)
    assert times.score("eu-a", 0) == pytest.approx(0.3 / 2.718, rel=0.01)


def test_whoever_was_left_is_looked_at_again(clock) -> None:
    """One statement goes there after six seconds, and its answer alone decides."""
    times = ResponseTimes(clock=clock)
    times.answered("eu-a", ok=True, latency_s=0.15)
    clock.advance(6.0)
    assert times.score("eu-a", 0) > 0.04
    clock.advance(0.1)
    assert times.score("eu-a", 0) == 0.0
    # One is on its way already.
    assert times.score("eu-a", 1) > 0.08

    times.answered("eu-a", ok=True, latency_s=0.15)
    assert times.score("eu-a", 0) == pytest.approx(0.15)
    clock.advance(6.1)
    times.answered("eu-a", ok=True, latency_s=0.002)
    assert times.score("eu-a", 0) == pytest.approx(0.002)


def test_whoever_fails_is_not_looked_at_again(clock) -> None:
    """A gateway that refuses is somebody else's to probe; it only fades."""
    times = ResponseTimes(clock=clock)
    times.answered("eu-a", ok=True, latency_s=0.15)
    times.answered("eu-a", ok=False, latency_s=0.15)
    clock.advance(6.1)

    assert times.score("eu-a", 0) > 0.0


def test_work_in_flight_multiplies(clock) -> None:
    """Two equal gateways differ by what they have to do."""
    times = ResponseTimes(clock=clock)
    times.answered("eu-a", ok=True, latency_s=0.01)
    assert times.score("eu-a", 3) == pytest.approx(0.04)
    assert times.score("never-asked", 3) == 0.0


def test_failing_fast_does_not_look_fast(clock) -> None:
    """A gateway that refuses within a millisecond scores worse, not better."""
    times = ResponseTimes(clock=clock)
    for name in ("eu-a", "eu-b"):
        times.answered(name, ok=True, latency_s=0.01)
    for _ in range(3):
        times.answered("eu-a", ok=False, latency_s=0.0001)
    assert times.score("eu-a", 0) > 4 * times.score("eu-b", 0)


def test_forgotten_gateways_keep_nothing(clock) -> None:
    """What is not in the list any more is not remembered under its name."""
    times = ResponseTimes(clock=clock)
    times.answered("eu-a", ok=True, latency_s=0.5)
    times.forget(["eu-b"])
    assert times.score("eu-a", 0) == 0.0


def test_the_nearest_is_measured(clock) -> None:
    """The least time of many statements is the distance, whatever the map says."""
    trips = RoundTrips("us", clock=clock)
    three = [gateway(region) for region in REGIONS]
    assert trips.nearest_first(three) == ("us", "eu", "asia")
    for latency_s in (0.4, 0.05, 0.9):
        trips.answered("asia", latency_s)
    assert trips.seconds("asia") == 0.05
    assert trips.nearest_first(three) == ("us", "asia", "eu")
    clock.advance(61)
    assert trips.nearest_first(three) == ("us", "eu", "asia")


def follow(clock: FakeClock) -> FollowWorkload:
    return FollowWorkload(clock=clock, rng=random.Random(7))


def play(
    policy: FollowWorkload, clock: FakeClock, cost: dict[str, float], n: int
) -> list[str]:
    asked = []
    for _ in range(n):
        clock.advance(0.05)
        region, _exploring = policy.region("orders", REGIONS, first="us")
        asked.append(region)
        policy.answered("orders", region, ok=True, latency_s=cost[region])
    return asked


def test_the_preference_follows_where_a_range_is_served(clock) -> None:
    """A range that moves to another region is asked for there soon, and back again."""
    policy = follow(clock)
    play(policy, clock, {"us": 0.002, "eu": 0.08, "asia": 0.16}, 200)
    assert policy.preferred("orders") == "us"
    play(policy, clock, {"us": 0.16, "eu": 0.24, "asia": 0.16 - 0.08}, 400)
    assert policy.preferred("orders") == "asia"
    asked = play(policy, clock, {"us": 0.16, "eu": 0.24, "asia": 0.08}, 128)
    assert asked.count("asia") == 126


def test_noise_moves_nothing(clock) -> None:
    """A gain below a fifth or below 2 ms is not worth the way."""
    policy = follow(clock)
    play(policy, clock, {"us": 0.010, "eu": 0.009, "asia": 0.0095}, 400)
    assert policy.preferred("orders") == "us"
    policy = follow(clock)
    play(policy, clock, {"us": 0.002, "eu": 0.0005, "asia": 0.002}, 400)
    assert policy.preferred("orders") == "us"


def test_a_failure_says_nothing_of_where_rows_are(clock) -> None:
    """Whoever fails at once is not near."""
    policy = follow(clock)
    policy.region("orders", REGIONS, first="us")
    policy.answered("orders", "us", ok=True, latency_s=0.05)
    assert not policy.answered("orders", "eu", ok=False, latency_s=0.0001)
    assert policy.preferred("orders") == "us"


def test_ranges_are_bounded(clock) -> None:
    """Of more than 1024 key ranges the longest unused are forgotten."""
    policy = follow(clock)
    for n in range(1500):
        policy.region(f"range-{n}", REGIONS, first="us")
    assert policy.preferred("range-0") is None
    assert policy.preferred("range-1499") == "us"


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(REGIONS), min_size=1, max_size=3, unique=True),
            st.floats(0.0001, 2.0),
            st.booleans(),
        ),
        max_size=200,
    )
)
def test_only_regions_that_are_there_are_asked(turns) -> None:
    """Whatever gateways come and go: the answer is always one of those given."""
    clock = FakeClock()
    policy = follow(clock)
    for regions, latency_s, ok in turns:
        clock.advance(latency_s)
        region, exploring = policy.region("r", regions, first="us")
        assert region in regions
        assert not exploring or len(regions) > 1
        policy.answered("r", region, ok=ok, latency_s=latency_s)
