"""Percentiles of recent latencies: how wrong, how old, and what they never do."""

import math
import random
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience import Percentiles
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


@given(
    st.lists(
        st.tuples(st.floats(0, 8), st.floats(1e-5, 100.0)), min_size=20, max_size=200
    ),
    st.sampled_from([0.01, 0.5, 0.95, 0.99]),
)
@example([(0.0, 1.0)] * 17 + [(5.0, 1.0), (8.0, 1.0), (8.0, 1.0)], 0.01)
def test_the_answer_is_that_of_one_to_two_windows(calls, fraction):
    """Whenever calls came, it is the exact percentile of those since some turn."""
    clock = FakeClock()
    found = Percentiles(clock=clock, window_s=10)
    seen = []
    for pause, latency in calls:
        clock.advance(pause)
        found.record(latency)
        seen.append((clock(), latency))
    recent = [latency for at, latency in seen if at > clock() - 10]
    if found.value(fraction) is None:
        assert len(recent) < 20
        return
    value = found.value(fraction)

    # The window begins with some call no older than two windows and no newer than one.
    starts = [i for i, (at, _) in enumerate(seen) if at >= clock() - 20]
    possible = []
    for start in starts:
        inside = sorted(latency for _, latency in seen[start:])
        if len(inside) >= max(20, len(recent)):
            possible.append(inside[math.ceil(fraction * len(inside)) - 1])
    assert any(value == pytest.approx(exact, rel=0.05) for exact in possible)


def test_a_long_silence_is_forgotten_at_once():
    """After two windows without a call, what was before counts no more."""
    clock = FakeClock()
    found = Percentiles(clock=clock, window_s=10)
    for _ in range(1000):
        found.record(0.001)
    clock.advance(100)
    assert found.value(0.5) is None
    for _ in range(30):
        found.record(5.0)
    clock.advance(1)

    assert found.value(0.01) == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("strange", [0.0, -1.0, math.inf, math.nan, 1e12, 1e-12])
def test_no_latency_fails_a_call(strange):
    """What is beyond the buckets counts as the shortest or the longest."""
    clock = FakeClock()
    found = Percentiles(clock=clock, least=1)
    found.record(strange)

    assert 0 < found.value(0.5) < 1e5


def test_a_value_is_reused_for_a_moment_only():
    """Asked again within a tenth of a second it is the same, then it is anew."""
    clock = FakeClock()
    found = Percentiles(clock=clock, least=1)
    found.record(0.001)
    first = found.value(0.5)
    for _ in range(10):
        found.record(1.0)
    clock.advance(0.05)
    assert first == found.value(0.5)
    clock.advance(0.1)

    assert found.value(0.5) == pytest.approx(1.0, rel=0.05)


def test_threads_lose_no_latency():
    """Eight threads that record at once are all counted."""
    found = Percentiles(least=8000)

    def record():
        rng = random.Random(1)
        for _ in range(1000):
            found.record(rng.random())

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert "<Percentiles of 8000 latencies>" == repr(found)
    assert found.value(0.5) == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.5, 95])
def test_a_percentile_is_a_fraction(wrong):
    """95 is no fraction."""
    with pytest.raises(ValueError):
        Percentiles().value(wrong)


@pytest.mark.parametrize("wrong", [{"window_s": 0}, {"least": 0}])
def test_impossible_windows_are_refused(wrong):
    """A window of no length would know nothing, ever."""
    with pytest.raises(ValueError):
        Percentiles(**wrong)
