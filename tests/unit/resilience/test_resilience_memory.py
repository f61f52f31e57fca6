"""A million operations over ten thousand keys: memory has an upper bound."""

import random
import tracemalloc

import pytest

from resilience import (
    BreakerConfig,
    CacheConfig,
    CircuitBreaker,
    Percentiles,
    RetryConfig,
)
from resilience._copies import Aged, Copies
from resilience._retry import RetryState
from resilience._window import TimeWindow
from resilience.testing import FakeClock

pytestmark = [pytest.mark.resilience, pytest.mark.timeout(120)]

KEYS = 10_000
OPERATIONS = 1_000_000


def _grown(work):
    """Return the bytes that *work* left behind, the second time it ran."""
    work()
    tracemalloc.start()
    work()
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return left


def test_copies_and_their_errors_stay_at_max_entries():
    """Reads, loads and failures of ten thousand keys keep a thousand of each."""
    clock, rng = FakeClock(), random.Random(7)
    copies = Copies(clock, rng)
    config = CacheConfig(max_entries=1000, error_ttl_s=5, early_refresh_beta=1.0)
    error = ConnectionError("down")

    def work():
        for number in range(OPERATIONS // 5):
            key = number * 7919 % KEYS
            clock.now += 0.0001
            try:
                verdict, _ = copies.look(key, config, clock.now)
            except ConnectionError:
                continue
            if verdict in {"fresh", "failing"}:
                continue
            if number % 3:
                copies.keep(key, Aged(b"x", 0.0), clock.now, config, replaced=False)
            else:
                copies.failed(key, error, config)
            assert len(copies) <= 1000
            assert len(copies._errors) <= 1000

    for _ in range(3):
        work()
    # What a thousand copies and errors take, however many keys went through.
    assert _grown(work) < 1_000_000


def test_percentiles_take_the_same_however_many_latencies():
    """Two histograms of fixed size and a few told values are all there is."""
    clock, rng = FakeClock(), random.Random(7)
    found = Percentiles(clock=clock)

    def work():
        for number in range(OPERATIONS // 10):
            clock.now += 0.001
            found.record(rng.lognormvariate(-3, 2))
            if not number % 50:
                found.value(rng.random() or 0.5)
        assert len(found._told) <= 17

    assert _grown(work) < 30_000


@pytest.mark.parametrize("window", ["count", "time"])
def test_a_breaker_takes_the_same_however_many_calls(window):
    """A count window holds its calls, a time window one bucket a second."""
    clock = FakeClock()
    breaker = CircuitBreaker(
        "x", BreakerConfig(window=window, window_size=60, min_calls=60), clock=clock
    )

    def work():
        for number in range(OPERATIONS // 20):
            clock.now += 0.01
            breaker.record(breaker.acquire(), ok=number % 10 != 0, latency_s=0.1)

    assert _grown(work) < 30_000


def test_a_time_window_holds_a_bucket_a_second():
    """A burst of a hundred thousand calls within a second is one bucket."""
    clock = FakeClock()
    window = TimeWindow(60, clock)
    for _ in range(100_000):
        clock.now += 0.001
        window.add(failed=False, slow=False, latency_s=0.001)

    assert len(window._buckets) <= 61


def test_a_retry_keeps_no_history():
    """Ten thousand attempts of one call leave numbers, not lists."""
    state = RetryState(
        RetryConfig(attempts=10**9, jitter="decorrelated"),
        started=0.0,
        clock=FakeClock(),
        rng=random.Random(7),
    )

    def work():
        for _ in range(10_000):
            state.next_delay()

    assert _grown(work) < 5_000
