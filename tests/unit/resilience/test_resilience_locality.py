"""The nearest backends first, and who is next: Envoy's priority levels."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.balancing import (
    Backend,
    Balancer,
    Locality,
    LocalityFirst,
    Node,
    OutlierConfig,
    RoundRobin,
)
from resilience.balancing._locality import priority_load
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience

HERE = Locality(region="eu", zone="eu-a", regions={"us": 80, "asia": 220})


@pytest.mark.parametrize(
    ("healthy", "shares"),
    [
        pytest.param([100, 100], [100, 0], id="envoy: all healthy"),
        pytest.param([72, 72], [100, 0], id="envoy: 72 still takes everything"),
        pytest.param([71, 71], [99.4, 0.6], id="envoy: 71, which it rounds to 99"),
        pytest.param([50, 50], [70, 30], id="envoy: half"),
        pytest.param([25, 100], [35, 65], id="envoy: a quarter"),
        pytest.param([25, 25], [50, 50], id="envoy: neither is enough, by halves"),
        pytest.param([5, 65], [100 * 7 / 98, 100 * 91 / 98], id="envoy: 5 and 65"),
        pytest.param([0, 100], [0, 100], id="nobody near"),
        pytest.param([50, 50, 100], [70, 30, 0], id="the second takes what is left"),
        pytest.param([20, 20, 20], [100 / 3] * 3, id="envoy: 20, 20, 20"),
        pytest.param([0, 0], [0, 0], id="nobody at all"),
    ],
)
def test_shares_are_envoys(healthy, shares):
    """Envoy's table of priority levels: health times 1.4, and made up to the whole."""
    found = priority_load(healthy, [100] * len(healthy), 1.4)
    assert [100 * share for share in found] == pytest.approx(shares, abs=0.01)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5),
    st.floats(1, 3),
)
def test_shares_make_a_whole(levels, factor):
    """They add up to one where anybody is healthy; who has nobody gets nothing."""
    healthy = [up for up, _ in levels]
    shares = priority_load(healthy, [up + down for up, down in levels], factor)

    assert sum(shares) == pytest.approx(1 if any(healthy) else 0)
    assert all(0 <= s <= 1 for s in shares)
    assert not any(s for s, up in zip(shares, healthy, strict=True) if not up)


def _nodes(**places):
    return [
        Node(Backend(name=name, address=name, region=region, zone=zone), 0.0)
        for name, (region, zone) in places.items()
    ]


def _ring(*, spill=None):
    nodes = _nodes(
        a=("eu", "eu-a"),
        b=("eu", "eu-b"),
        u=("us", "us-a"),
        j=("asia", "asia-a"),
        x=("moon", ""),
    )
    picker = LocalityFirst(
        RoundRobin(), here=HERE, spill_pending=spill, rng=random.Random(3)
    )
    picker.follow(nodes)
    return picker, nodes


def test_zone_then_region_then_the_others_by_distance():
    """As the nearer ones go, the next nearest takes over; the unknown are last."""
    picker, nodes = _ring()
    order = []
    while nodes:
        node, reason = picker.pick(nodes)
        order.append(node.backend.name)
        nodes = [each for each in nodes if each is not node]
        if len(order) > 1:
            assert reason.startswith("overflow, too few are nearer")

    assert ["a", "b", "u", "j", "x"] == order


def test_without_a_place_the_given_distances_count():
    """Backends may say how far they are themselves."""
    nodes = [
        Node(Backend(name=f"d{d}", address="x", distance=d), 0.0) for d in (9, 0, 5)
    ]
    picker = LocalityFirst(RoundRobin())
    picker.follow(nodes)

    assert "d0" == picker.pick(nodes)[0].backend.name


def test_the_healthy_share_decides_the_overflow():
    """With half of the near backends ejected they get 70 % of the calls."""
    nodes = _nodes(
        **{f"n{n}": ("eu", "eu-a") for n in range(10)},
        **{f"f{n}": ("us", "") for n in range(3)},
    )
    picker = LocalityFirst(RoundRobin(), here=HERE, rng=random.Random(3))
    picker.follow(nodes)
    left = nodes[5:]
    got = Counter(picker.pick(left)[0].backend.name[0] for _ in range(5000))

    assert got["n"] / 5000 == pytest.approx(0.7, abs=0.03)
    assert "70%, 30%" in repr(picker)


def test_the_busy_hand_on():
    """Only when every near node has its fill do calls go to the next."""
    picker, nodes = _ring(spill=2)
    nodes[0].pending = 2
    node, reason = picker.pick(nodes)
    assert "b" == node.backend.name
    assert reason == "overflow, the nearer are taken, next in turn"
    nodes[1].pending = nodes[2].pending = 2
    assert "j" == picker.pick(nodes)[0].backend.name


def test_when_all_are_busy_the_call_stays():
    """Far and busy is worse than near and busy."""
    picker, nodes = _ring(spill=2)
    for node in nodes:
        node.pending = 5

    assert "a" == picker.pick(nodes)[0].backend.name


def test_the_busy_are_better_than_the_tried():
    """When everybody is busy a retry still goes where the call has not been."""
    picker, nodes = _ring(spill=1)
    for node in nodes:
        node.pending = 1

    assert "b" == picker.pick(nodes, {"a"})[0].backend.name
    assert "x" == picker.pick(nodes, {"a", "b", "u", "j"})[0].backend.name


def test_a_retry_stays_near_while_somebody_near_is_left():
    """Avoiding the one that failed makes the rest no less healthy."""
    nodes = _nodes(a=("eu", "eu-a"), b=("eu", "eu-a"), u=("us", ""))
    picker = LocalityFirst(RoundRobin(), here=HERE, rng=random.Random(3))
    picker.follow(nodes)

    assert {"b"} == {picker.pick(nodes, {"a"})[0].backend.name for _ in range(50)}
    assert {"u"} == {picker.pick(nodes, {"a", "b"})[0].backend.name for _ in range(50)}
    every = {"a", "b", "u"}
    assert picker.pick(nodes, every)[0].backend.name in {"a", "b"}


def test_ejection_moves_calls_away_and_back():
    """A zone whose only backend is out is left, and is used again when it returns."""
    clock = FakeClock()
    backends = [
        Backend(name="near", address="n", region="eu", zone="eu-a"),
        Backend(name="far", address="f", region="us"),
    ]
    balancer = Balancer(
        "t",
        backends,
        LocalityFirst(RoundRobin(), here=HERE),
        outliers=OutlierConfig(consecutive_failures=1, base_ejection_s=30),
        clock=clock,
    )
    first = balancer.pick("/t.T/Go")
    balancer.ended(first, "UNAVAILABLE", 0.001)
    second = balancer.pick("/t.T/Go")
    balancer.ended(second, "OK", 0.1)
    clock.advance(30)

    assert ("near", "far") == (first.backend.name, second.backend.name)
    assert "near" == balancer.pick("/t.T/Go").backend.name


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: LocalityFirst(RoundRobin(), overprovision=0.5),
        lambda: LocalityFirst(RoundRobin(), spill_pending=0),
        lambda: Locality(region=""),
        lambda: Locality(region="eu", regions={"us": -1}),
    ],
)
def test_impossible_localities_are_refused(wrong):
    """What cannot be meant is told when it is made."""
    with pytest.raises(ValueError):
        wrong()
