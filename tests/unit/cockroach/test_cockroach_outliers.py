"""Gateways judged apart, and what of it counts against their region."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.health import RegionHealth
from cockroach.outliers import GatewayEjected, GatewayReturned, Outliers

A, B = "eu-a", "eu-b"
GOOD, SLOW = 0.01, 0.5


@pytest.fixture
def region(health) -> RegionHealth:
    return health()


def call(health: RegionHealth, gateway: str, latency_s: float, **more: Any) -> None:
    options = {"ok": True, "gateway": gateway, **more}
    health.record(health.permit(), latency_s=latency_s, **options)


def test_one_slow_gateway_sits_out_and_the_region_stays(
    region, listener, clock
) -> None:
    """Nobody loses a region for one of its gateways, however slow that is."""
    for _ in range(20):
        clock.advance(0.1)
        call(region, B, GOOD)
        call(region, A, SLOW)
    assert region.avoided() == {A}
    assert region.state == "closed"
    assert listener.of(GatewayEjected)[0] == GatewayEjected(
        "database@eu", A, "slow", 1.0
    )


def test_two_slow_gateways_are_the_regions_trouble(region, clock) -> None:
    """As many calls open the breaker as without judging them apart."""
    call(region, A, GOOD)
    call(region, B, GOOD)
    clock.advance(3.5)
    for gateway in (A, B, A):
        call(region, gateway, SLOW)
        assert region.state == "closed"
    call(region, B, SLOW)
    assert region.state == "open"
    assert not region.avoided()


def test_what_one_gateway_did_counts_once_the_other_follows(region) -> None:
    """The first slow calls are not lost, only held until the other gateway speaks."""
    call(region, B, GOOD)
    for _ in range(3):
        call(region, A, SLOW)
    assert region.state == "closed"
    call(region, B, SLOW)
    assert region.state == "open"


def test_held_calls_are_forgotten_with_the_window(region, clock) -> None:
    """What one gateway did long ago is not held against its region."""
    call(region, B, GOOD)
    for _ in range(3):
        call(region, A, SLOW)
    clock.advance(3.5)
    call(region, B, SLOW)
    assert region.state == "closed"


def test_a_refusal_ejects_at_once(region, listener) -> None:
    """Who does not let us in is not asked a second time."""
    call(region, B, GOOD)
    call(region, A, 0.001, ok=False, refused=True)
    assert region.avoided() == {A}
    assert [one.reason for one in listener.of(GatewayEjected)] == ["refused"]


def test_ejections_grow_up_to_a_bound_and_end_with_a_good_answer() -> None:
    """One to eight seconds, and one good answer clears the name."""
    outliers = Outliers()
    now, lengths = 0.0, []
    for _ in range(12):
        outliers.record(B, good=True, now_s=now)
        lengths.append(outliers.record(A, good=False, now_s=now))
        now += 9.0
    # The first bad answer alone does not eject; later ones are still in a row.
    assert lengths[:6] == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0]
    outliers.record(B, good=True, now_s=now)
    outliers.record(A, good=True, now_s=now)
    assert not outliers.avoided(now)
    assert outliers.record(A, good=False, now_s=now) == 0.0
    assert outliers.record(A, good=False, now_s=now) == 1.0


def test_the_return_is_half_open(region, listener, clock) -> None:
    """After its time one statement goes there; the others wait for its answer."""
    call(region, B, GOOD)
    call(region, A, SLOW)
    call(region, A, SLOW)
    assert region.avoided() == {A}
    clock.advance(1.1)
    call(region, B, GOOD)
    assert not region.avoided()
    region.asked(A)
    assert region.avoided() == {A}
    call(region, A, GOOD)
    assert not region.avoided()
    assert listener.of(GatewayReturned) == [GatewayReturned("database@eu", A)]


def test_a_bad_trial_ejects_for_longer(region, listener, clock) -> None:
    """One bad answer is enough for a gateway that is on trial."""
    call(region, B, GOOD)
    call(region, A, SLOW)
    call(region, A, SLOW)
    clock.advance(1.1)
    call(region, B, GOOD)
    region.asked(A)
    call(region, A, SLOW)
    assert region.avoided() == {A}
    assert [one.for_s for one in listener.of(GatewayEjected)] == [1.0, 2.0]
    assert not listener.of(GatewayReturned)


def test_a_trial_nobody_waited_for_bars_no_other(region, clock) -> None:
    """A caller who left says nothing; a second later another may try."""
    call(region, B, GOOD)
    call(region, A, SLOW)
    call(region, A, SLOW)
    clock.advance(1.1)
    region.asked(A)
    clock.advance(1.1)
    call(region, B, GOOD)
    assert not region.avoided()


Answers = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.booleans(),
        st.booleans(),
        st.floats(0.0, 4.0),
    ),
    max_size=60,
)


@given(Answers)
def test_never_all_sit_out_and_never_one_that_did_well(answers) -> None:
    """Whatever the order: one that just did well is asked, so somebody always is."""
    outliers, now = Outliers(), 0.0
    last: dict[str, bool] = {}
    for gateway, good, refused, later in answers:
        now += later
        for_s = outliers.record(
            gateway, good=good, now_s=now, refused=refused and not good
        )
        last[gateway] = good
        out = outliers.avoided(now)
        assert for_s in {0.0, 1.0, 2.0, 4.0, 8.0}
        assert out < set(last) or not out
        assert not any(last[one] for one in out)
        assert not outliers.avoided(now + 8.0)
