"""Coalescing: one load per key, stale copies in between, nothing cached that failed."""

import asyncio

import pytest

from resilience import (
    CacheConfig,
    CallCoalesced,
    Coalescer,
    current_deadline,
    deadline_scope,
)
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience


class Source:
    """A backend that counts its loads and answers when told to."""

    def __init__(self):
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = None

    async def __call__(self):
        self.loads += 1
        number = self.loads
        await self.gate.wait()
        if self.error:
            raise self.error
        return number


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def source():
    return Source()


def _cache(clock, **config):
    return Coalescer(CacheConfig(**({"jitter": 0.0} | config)), clock=clock)


async def _readers(cache, source, count, key="k"):
    readers = [asyncio.ensure_future(cache.get(key, source)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return readers


async def test_identical_reads_share_one_load(clock, source):
    """A hundred readers of one key make one load and get one answer."""
    cache = _cache(clock)
    source.gate.clear()
    readers = await _readers(cache, source, 100)
    source.gate.set()
    answers = await asyncio.gather(*readers)

    assert 1 == source.loads
    assert {1} == {answer.value for answer in answers}
    assert ["fresh"] + ["joined"] * 99 == [answer.source for answer in answers]


async def test_without_single_flight_every_reader_loads(clock, source):
    """The switch off is the disease: a hundred readers, a hundred loads."""
    cache = _cache(clock, single_flight=False)
    source.gate.clear()
    readers = await _readers(cache, source, 100)
    source.gate.set()
    await asyncio.gather(*readers)

    assert 100 == source.loads


async def test_a_copy_is_fresh_for_its_time(clock, source):
    """Within the TTL a hit with its age, after it a new load."""
    cache = _cache(clock, ttl_s=5)
    await cache.get("k", source)
    clock.advance(4)
    hit = await cache.get("k", source)
    clock.advance(1)
    fresh = await cache.get("k", source)

    assert ("hit", 4.0, False) == (hit.source, hit.age_s, hit.stale)
    assert ("fresh", 2) == (fresh.source, fresh.value)


async def test_a_stale_copy_is_served_while_one_load_runs_behind(clock, source):
    """Expired, every reader gets the old copy at once and one load is made."""
    listener = RecordingListener()
    cache = Coalescer(
        CacheConfig(ttl_s=5, stale_s=30, jitter=0), clock=clock, listener=listener
    )
    await cache.get("k", source)
    clock.advance(6)
    source.gate.clear()
    answers = await asyncio.gather(*(cache.get("k", source) for _ in range(50)))
    await asyncio.sleep(0)

    assert {(1, True, "stale", 6.0)} == {
        (a.value, a.stale, a.source, a.age_s) for a in answers
    }
    assert 2 == source.loads
    assert {"stale"} == {event.source for event in listener.of(CallCoalesced)}
    source.gate.set()
    await asyncio.sleep(0.01)
    assert (2, "hit") == ((a := await cache.get("k", source)).value, a.source)


async def test_a_copy_too_old_is_not_served(clock, source):
    """After ttl and stale time the reader waits for the load."""
    cache = _cache(clock, ttl_s=5, stale_s=30)
    await cache.get("k", source)
    clock.advance(35)

    assert "fresh" == (await cache.get("k", source)).source


async def test_without_revalidation_a_stale_copy_covers_a_failed_load(clock, source):
    """The load comes first; only its failure brings the old copy out."""
    cache = _cache(clock, ttl_s=5, stale_s=30, stale_while_revalidate=False)
    await cache.get("k", source)
    clock.advance(6)
    source.error = LookupError("down")
    answer = await cache.get("k", source)

    assert (1, "stale", 2) == (answer.value, answer.source, source.loads)


async def test_errors_reach_all_who_waited_and_are_not_cached(clock, source):
    """Every reader sees the error; the next one loads anew."""
    cache = _cache(clock)
    source.gate.clear()
    source.error = LookupError("down")
    readers = await _readers(cache, source, 3)
    source.gate.set()
    results = await asyncio.gather(*readers, return_exceptions=True)
    assert [LookupError] * 3 == [type(result) for result in results]

    source.error = None
    assert 2 == (await cache.get("k", source)).value


async def test_followers_survive_a_cancelled_leader(clock, source):
    """The reader whose call began the load may leave; the others get the answer."""
    cache = _cache(clock)
    source.gate.clear()
    leader, follower = await _readers(cache, source, 2)
    leader.cancel()
    await asyncio.sleep(0)
    source.gate.set()

    assert 1 == (await follower).value
    assert leader.cancelled()
    assert 1 == source.loads


async def test_a_shared_load_is_free_of_its_leaders_deadline(clock):
    """The load runs for all who wait, not for the time the first has left."""
    cache = _cache(clock)
    seen = []

    async def load():
        seen.append(current_deadline())
        return 1

    with deadline_scope(0.01):
        await cache.get("k", load)

    assert [None] == seen


async def test_a_shared_load_is_bounded_by_its_own_timeout(clock, source):
    """load_timeout_s ends a load that nobody else would."""
    cache = _cache(clock, load_timeout_s=0.01)
    source.gate.clear()

    with pytest.raises(TimeoutError):
        await cache.get("k", source)


async def test_expire_makes_copies_stale_and_loads_before_it_unjoinable(clock, source):
    """After expire() a load that began before it answers nobody who came after."""
    cache = _cache(clock, ttl_s=50, stale_s=50)
    source.gate.clear()
    (early,) = await _readers(cache, source, 1)
    cache.expire("k")
    (late,) = await _readers(cache, source, 1)
    source.gate.set()

    assert (1, 2) == ((await early).value, (await late).value)
    assert (2, "hit") == ((a := await cache.get("k", source)).value, a.source)
    cache.expire("k")
    assert "stale" == (await cache.get("k", source)).source


async def test_entries_are_bounded_and_the_least_recently_read_goes(clock, source):
    """Ten thousand keys leave max_entries copies, the read ones among them."""
    cache = _cache(clock, max_entries=3)
    for key in "abc":
        await cache.get(key, source)
    await cache.get("a", source)
    await cache.get("d", source)

    assert 3 == len(cache)
    assert "hit" == (await cache.get("a", source)).source
    assert "fresh" == (await cache.get("b", source)).source
    for key in range(10_000):
        await cache.get(str(key), source)
    assert 3 == len(cache)


async def test_jitter_spreads_expiry(clock, source):
    """Keys loaded together do not all expire together."""
    cache = _cache(clock, ttl_s=10, jitter=0.5)
    for key in range(100):
        await cache.get(str(key), source)
    clock.advance(7.5)
    hits = 0
    for key in range(100):
        hits += (await cache.get(str(key), source)).source == "hit"

    assert 20 < hits < 80


async def test_configuration_is_read_at_each_read(clock, source):
    """A callable source switches the policy while the copies stay."""
    now = [CacheConfig(ttl_s=5, stale_s=0, jitter=0)]
    cache = Coalescer(lambda: now[0], clock=clock)
    await cache.get("k", source)
    clock.advance(6)
    now[0] = CacheConfig(ttl_s=5, stale_s=30, jitter=0)

    assert "fresh" == (await cache.get("k", source, config=CacheConfig())).source


async def test_a_quick_load_spares_the_reader_the_old_copy(clock, source):
    """Within the wait, a reader of an expired key gets the new value."""
    cache = _cache(clock, ttl_s=5, stale_s=30, stale_wait_s=30)
    await cache.get("k", source)
    clock.advance(6)

    got = await cache.get("k", source)

    assert (2, False, "fresh") == (got.value, got.stale, got.source)


async def test_a_slow_load_costs_a_reader_the_wait_and_no_more(clock, source):
    """Past the wait the stale copy is served, while one load goes on behind it."""
    cache = _cache(clock, ttl_s=5, stale_s=30, stale_wait_s=0.01)
    await cache.get("k", source)
    clock.advance(6)
    source.gate.clear()

    got = [await cache.get("k", source) for _ in range(3)]

    assert [(1, True)] * 3 == [(one.value, one.stale) for one in got]
    assert 2 == source.loads


async def test_a_failed_load_falls_back_to_the_stale_copy_at_once(clock, source):
    """A load that fails within the wait costs nobody the wait, nor an error."""
    cache = _cache(clock, ttl_s=5, stale_s=30, stale_wait_s=30)
    await cache.get("k", source)
    clock.advance(6)
    source.error = OSError("away")

    got = await cache.get("k", source)

    assert (1, True, "stale") == (got.value, got.stale, got.source)


async def test_a_refresh_replaces_a_fresh_copy_and_readers_share_its_load():
    """Refresh-ahead loads though the copy is fresh; a failure leaves the old one."""
    cache: Coalescer[str, int] = Coalescer(CacheConfig(ttl_s=5.0, jitter=0.0))
    loads: list[int] = []
    gate = asyncio.Event()

    async def load() -> int:
        loads.append(1)
        await gate.wait()
        return len(loads)

    async def fail() -> int:
        raise ValueError

    gate.set()
    assert (await cache.get("k", load)).value == 1
    gate.clear()
    refreshes = [asyncio.create_task(cache.refresh("k", load)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (await cache.get("k", load)).value == 1
    gate.set()
    await asyncio.gather(*refreshes)
    assert (await cache.get("k", load)).value == 2
    with pytest.raises(ValueError, match=r"^$"):
        await cache.refresh("k", fail)
    assert (await cache.get("k", load)).value == 2
    assert len(loads) == 2
