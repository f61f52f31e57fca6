"""Early refresh, told errors, and the coalescer for threads."""

import asyncio
import random
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import BlockingCoalescer, CacheConfig, Coalescer, Percentiles
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience


async def test_a_copy_is_refreshed_before_it_expires():
    """XFetch: near the end some reader begins a load; nobody waits for it."""
    clock = FakeClock()
    cache = Coalescer(
        CacheConfig(ttl_s=10, jitter=0, early_refresh_beta=1.0),
        clock=clock,
        rng=random.Random(4),
    )
    loads = 0

    async def load():
        nonlocal loads
        loads += 1
        clock.advance(0.5)
        return loads

    await cache.get("k", load)
    for _ in range(60):
        clock.advance(0.15)
        assert (await cache.get("k", load)).source == "hit"
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert loads >= 2


async def test_early_refresh_is_off_by_default():
    """Without beta a copy lives as long as it was given."""
    clock = FakeClock()
    cache = Coalescer(CacheConfig(ttl_s=10, jitter=0), clock=clock)

    async def load():
        clock.advance(0.5)
        return "value"

    await cache.get("k", load)
    clock.now = 9.999
    assert "hit" == (await cache.get("k", load)).source
    assert not cache._loads


@given(st.floats(0.1, 9.4), st.integers(0, 2**32))
def test_early_refresh_is_likelier_near_the_end(at, seed):
    """XFetch's rule: now - load time * beta * ln(chance) reaches the expiry."""
    clock = FakeClock()
    cache = Coalescer(
        CacheConfig(ttl_s=10, jitter=0, early_refresh_beta=1.0),
        clock=clock,
        rng=random.Random(seed),
    )
    # Jitter draws once when the copy is kept; the reader draws next.
    rng = random.Random(seed)
    rng.random()
    import math

    async def run():
        async def load():
            clock.advance(0.5)
            return 1

        await cache.get("k", load)
        clock.now = max(0.5, at)
        await cache.get("k", load)
        expected = clock.now - 0.5 * math.log(1.0 - rng.random()) >= 10
        begun = bool(cache._loads)
        for task in cache._loads.values():
            task.cancel()
        return begun, expected

    begun, expected = asyncio.run(run())
    assert expected == begun


async def test_an_error_is_told_for_a_while_by_choice():
    """With error_ttl_s later readers get the error without a load, then a load."""
    clock = FakeClock()
    cache = Coalescer(CacheConfig(error_ttl_s=2.0), clock=clock)
    loads = 0

    async def fail():
        nonlocal loads
        loads += 1
        raise ConnectionError("down")

    for _ in range(3):
        with pytest.raises(ConnectionError):
            await cache.get("k", fail)
    assert 1 == loads
    clock.advance(2.1)
    with pytest.raises(ConnectionError):
        await cache.get("k", fail)
    assert 2 == loads


async def test_told_errors_are_bounded():
    """Errors of ten thousand keys do not pile up."""
    cache = Coalescer(CacheConfig(error_ttl_s=60.0, max_entries=100))

    async def fail():
        raise ConnectionError("down")

    for key in range(1000):
        with pytest.raises(ConnectionError):
            await cache.get(key, fail)

    assert 100 == len(cache._copies._errors)


def _at_once(count, do):
    start, results = threading.Barrier(count), []

    def run():
        start.wait(5)
        results.append(do())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    return results


def test_threads_share_one_load():
    """Fifty threads that ask at once cause one load and get its answer."""
    listener = RecordingListener()
    cache = BlockingCoalescer(CacheConfig(), listener=listener)
    loads, gate = [], threading.Event()

    def load():
        loads.append(1)
        gate.wait(5)
        return "answer"

    threading.Timer(0.2, gate.set).start()
    results = _at_once(50, lambda: cache.get("k", load))

    assert 1 == len(loads)
    assert {"answer"} == {result.value for result in results}
    assert 49 == len(listener.events)


def test_a_reader_who_gives_up_leaves_the_load_to_the_others():
    """One reader's timeout is its own; the load goes on and is kept."""
    cache = BlockingCoalescer(CacheConfig())
    gate = threading.Event()

    def load():
        gate.wait(5)
        return "answer"

    with pytest.raises(TimeoutError):
        cache.get("k", load, timeout_s=0.01)
    gate.set()

    assert "answer" == cache.get("k", load, timeout_s=5).value


def test_a_blocking_stale_copy_bridges_the_load():
    """A stale copy is served at once while one load runs behind it."""
    clock = FakeClock()
    cache = BlockingCoalescer(CacheConfig(ttl_s=1, stale_s=60), clock=clock)
    gate = threading.Event()
    cache.get("k", lambda: "old")
    clock.advance(2)

    def slow():
        gate.wait(5)
        return "new"

    found = cache.get("k", slow)

    assert ("old", "stale") == (found.value, found.source)
    gate.set()


def test_a_blocking_load_that_fails_is_everybodys_error():
    """All who waited get the error; it is not kept."""
    cache = BlockingCoalescer(CacheConfig())

    def fail():
        raise ConnectionError("down")

    with pytest.raises(ConnectionError):
        cache.get("k", fail)

    assert "answer" == cache.get("k", lambda: "answer").value
    assert "<BlockingCoalescer 1 copies, 0 loading>" == repr(cache)


@given(
    st.lists(st.floats(2e-6, 60.0, allow_nan=False), min_size=20, max_size=300),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_percentiles_are_at_most_five_percent_off(latencies, fraction):
    """Against the exact one by rank, for whatever latencies."""
    import math

    found = Percentiles(clock=FakeClock())
    for latency in latencies:
        found.record(latency)
    exact = sorted(latencies)[math.ceil(fraction * len(latencies)) - 1]

    assert found.value(fraction) == pytest.approx(exact, rel=0.05)


def test_percentiles_forget():
    """Twice the window later nothing is known of what was."""
    clock = FakeClock()
    found = Percentiles(clock=clock, window_s=10)
    for _ in range(100):
        found.record(1.0)
    clock.advance(11)
    assert found.value(0.5) == pytest.approx(1.0, rel=0.05)
    for _ in range(30):
        found.record(0.001)
    clock.advance(11)
    for _ in range(30):
        found.record(0.001)

    assert found.value(0.99) == pytest.approx(0.001, rel=0.05)


def test_percentiles_tell_nothing_of_too_few():
    """Nineteen latencies are no percentile."""
    found = Percentiles(clock=FakeClock())
    for _ in range(19):
        found.record(1.0)

    assert found.value(0.5) is None


@pytest.mark.timeout(120)
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "reads", [50_000, pytest.param(1_000_000, marks=pytest.mark.soak)]
)
async def test_many_reads_of_ten_thousand_keys_stay_in_bounds(reads):
    """Memory does not grow with the age of the process or the number of keys."""
    clock = FakeClock()
    cache = Coalescer(CacheConfig(max_entries=1024, ttl_s=1e9), clock=clock)

    async def load():
        return b"value"

    config = CacheConfig(max_entries=1024, ttl_s=1e9, single_flight=False)
    for key in range(20_000):
        await cache.get(key % 10_000, load, config=config)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    found = Percentiles(clock=clock)
    for index in range(reads):
        await cache.get(index * 7919 % 10_000, load, config=config)
        found.record(index % 100 / 1000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert 1024 == len(cache)
    assert grown < 200_000
