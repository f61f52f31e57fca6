"""The limit that keeps a short queue: Netflix' VegasLimit."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._vegas import VegasConfig, VegasLimit

pytestmark = pytest.mark.resilience


def _limit(**config):
    return VegasLimit(VegasConfig(**config), rng=random.Random(4))


@pytest.mark.parametrize(
    ("config", "samples", "expected"),
    [
        pytest.param({}, [], 10, id="begins as configured"),
        pytest.param({}, [(10, 10)], 10, id="the first is the least latency"),
        pytest.param({}, [(10, 10), (10, 11)], 16, id="no queue, up by beta"),
        pytest.param({}, [(10, 10), (50, 11)], 9, id="8 of 10 wait, down by one"),
        pytest.param({}, [(10, 10), (14, 14)], 10, id="3 wait, just right"),
        pytest.param({}, [(10, 10), (12.4, 10)], 11, id="2 wait, up by one"),
        pytest.param({}, [(10, 10), (10, 4)], 10, id="hardly used"),
        pytest.param(
            {"initial": 10_000, "most": 20_000},
            [(10_000, 5_000), (10_000, 6_000)],
            10_024,
            id="steps grow with the logarithm",
        ),
        pytest.param({"smoothing": 0.5}, [(10, 10), (10, 10)], 13, id="smoothed"),
        pytest.param(
            {"initial": 20, "most": 20}, [(10, 20), (10, 20)], 20, id="at most"
        ),
    ],
)
def test_vegas_follows_netflix_cases(config, samples, expected):
    """VegasLimitTest's cases, for alpha 3 and beta 6."""
    limit = _limit(**({"initial": 10} | config))
    for milliseconds, in_flight in samples:
        limit.update(milliseconds / 1000, in_flight, dropped=False)

    assert expected == limit.value


def test_a_quick_refusal_is_not_the_least_latency():
    """A drop lowers the limit and leaves the measure of an empty queue as it is."""
    limit = _limit(initial=10)
    limit.update(0.01, 10, dropped=False)
    limit.update(0.0001, 10, dropped=True)
    assert 9 == limit.value
    limit.update(0.01, 10, dropped=False)

    assert 15 == limit.value
    assert "<VegasLimit 15, 10.0 ms at least>" == repr(limit)


def test_nothing_is_learnt_from_an_unknown_latency():
    """A latency of 0 seconds is none."""
    limit = _limit(initial=10)
    limit.update(0.0, 10, dropped=False)
    limit.update(0.01, 10, dropped=False)
    limit.update(0.01, 10, dropped=False)

    assert 16 == limit.value


def test_the_least_latency_is_measured_anew():
    """A callee that is slower for good is not taken for queued for ever."""
    limit = _limit(initial=10, least=10, probe=3)
    limit.update(0.01, 10, dropped=False)
    for _ in range(30):
        limit.update(0.1, 10, dropped=False)

    assert "<VegasLimit 22, 100.0 ms at least>" == repr(limit)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 10, allow_nan=False), st.integers(0, 500), st.booleans()
        ),
        max_size=200,
    )
)
def test_vegas_stays_in_its_bounds(samples):
    """Whatever is measured, the limit keeps to least and most."""
    limit = _limit(initial=10, least=5, most=30)
    for rtt, in_flight, dropped in samples:
        limit.update(rtt, in_flight, dropped=dropped)

        assert 5 <= limit.value <= 30


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: VegasConfig(initial=0),
        lambda: VegasConfig(alpha=7),
        lambda: VegasConfig(alpha=0),
        lambda: VegasConfig(smoothing=0),
        lambda: VegasConfig(probe=0),
    ],
)
def test_impossible_values_are_refused(wrong):
    """Values that contradict each other are told when they are made."""
    with pytest.raises(ValueError):
        wrong()
