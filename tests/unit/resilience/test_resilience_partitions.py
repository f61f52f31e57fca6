"""Shares of one limit that lend what they do not use: Netflix' partitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import AdaptiveLimiter, AIMDConfig, LimitConfig
from resilience._errors import LimitReachedError
from resilience._partitions import Partitions
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


def _partitions(limit=10, shares=None, clock=None):
    limiter = AdaptiveLimiter(
        "server",
        LimitConfig(algorithm=AIMDConfig(initial=limit, least=limit, most=limit)),
        clock=clock or FakeClock(),
    )
    return limiter, Partitions(limiter, shares or {"batch": 0.3, "live": 0.7})


def _take(partitions, name, times):
    places = [partitions.try_acquire(name) for _ in range(times)]
    return [place for place in places if place is not None]


def test_each_has_its_share():
    """AbstractPartitionedLimiterTest: 3 and 7 of 10, 6 and 14 of 20."""
    _, ten = _partitions(10)
    _, twenty = _partitions(20)

    assert (3, 7) == (ten.limit("batch"), ten.limit("live"))
    assert (6, 14) == (twenty.limit("batch"), twenty.limit("live"))
    assert "<Partitions of server: others 0/1, batch 0/3, live 0/7>" == repr(ten)


def test_what_nobody_uses_is_lent():
    """One partition alone takes all ten places, and not an eleventh."""
    limiter, partitions = _partitions()

    assert 10 == len(_take(partitions, "batch", 11))
    assert 10 == partitions.in_flight("batch") == limiter.in_flight


def test_what_was_lent_is_paid_back_at_once():
    """With ten lent to batch, live still has its seven; seventeen are in flight."""
    limiter, partitions = _partitions()
    lent = _take(partitions, "batch", 10)
    live = _take(partitions, "live", 8)
    assert (7, 17) == (len(live), limiter.in_flight)
    for place in lent:
        partitions.release(place, "success")

    assert (7, 0) == (limiter.in_flight, partitions.in_flight("batch"))
    assert 3 == len(_take(partitions, "batch", 10))


def test_nobody_exceeds_where_all_use_their_shares():
    """3 and 7 are in flight: each is refused, by name."""
    _, partitions = _partitions()
    _take(partitions, "batch", 3)
    _take(partitions, "live", 7)
    assert partitions.try_acquire("batch") is None
    with pytest.raises(LimitReachedError, match=r"server\[live\] reached: 7"):
        partitions.acquire("live")


def test_the_unknown_share_one_place():
    """Names out of a request cannot multiply places, nor fill the memory."""
    _, partitions = _partitions()
    _take(partitions, "live", 10)

    assert 1 == sum(len(_take(partitions, f"name {n}", 1)) for n in range(1000))
    assert 1 == partitions.in_flight("anything")


@given(
    st.lists(
        st.tuples(st.sampled_from(["batch", "live", "?"]), st.booleans()), max_size=120
    )
)
def test_places_never_leak(steps):
    """Whoever comes and goes, the partitions' places are the limiter's."""
    limiter, partitions = _partitions(4)
    held = []
    for name, comes in steps:
        if comes:
            held += _take(partitions, name, 1)
        elif held:
            place = held.pop(0)
            partitions.release(place, "success")
            partitions.release(place, "success")

        counts = [partitions.in_flight(n) for n in ("batch", "live", "?")]
        assert len(held) == sum(counts) == limiter.in_flight
        assert limiter.in_flight <= 4 + 3 + 1 + 2


@pytest.mark.parametrize("shares", [{"a": 0.0}, {"a": 1.1}, {"a": 0.6, "b": 0.5}])
def test_impossible_shares_are_refused(shares):
    """Shares are parts of one limit."""
    with pytest.raises(ValueError, match="share"):
        _partitions(shares=shares)
