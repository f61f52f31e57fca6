"""Errors that are told for a while: what they hide, what they cost, when they end."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import CacheConfig, Coalescer
from resilience._copies import Aged, Copies
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


@pytest.fixture
def clock():
    return FakeClock()


def _cache(clock, **config):
    return Coalescer(CacheConfig(**({"jitter": 0.0} | config)), clock=clock)


async def _fail():
    raise ConnectionError("down")


async def _works():
    return "value"


async def test_a_failed_refresh_hides_no_fresh_copy(clock):
    """The copy is as good as before, whatever became of the load after it."""
    cache = _cache(clock, ttl_s=10, error_ttl_s=5)
    await cache.get("k", _works)
    with pytest.raises(ConnectionError):
        await cache.refresh("k", _fail)

    assert "hit" == (await cache.get("k", _fail)).source


@pytest.mark.parametrize("revalidate", [True, False])
async def test_a_stale_copy_is_served_instead_of_a_told_error(clock, revalidate):
    """While the error is told a stale copy is served, and no load is begun."""
    cache = _cache(
        clock,
        ttl_s=1,
        stale_s=60,
        error_ttl_s=5,
        stale_while_revalidate=revalidate,
    )
    loads = 0

    async def fail():
        nonlocal loads
        loads += 1
        await _fail()

    await cache.get("k", _works)
    clock.advance(2)
    sources = []
    for _ in range(5):
        sources.append((await cache.get("k", fail)).source)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert ["stale"] * 5 == sources
    assert 1 == loads

    clock.advance(6)
    await cache.get("k", fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 2 == loads


async def test_a_told_error_stays_as_long_as_it_was(clock):
    """Telling it a thousand times does not make its traceback a thousand times long."""
    cache = _cache(clock, error_ttl_s=60)
    lengths = []
    for _ in range(1000):
        with pytest.raises(ConnectionError) as raised:
            await cache.get("k", _fail)
        lengths.append(len(raised.traceback))

    assert lengths[1] == lengths[-1]


async def test_a_load_that_ran_out_of_time_is_told_too(clock):
    """The error most worth telling is the one that took longest to come by."""
    cache = _cache(clock, error_ttl_s=60, load_timeout_s=0.01)
    loads = 0

    async def hang():
        nonlocal loads
        loads += 1
        await asyncio.Event().wait()

    for _ in range(3):
        reader = asyncio.ensure_future(cache.get("k", hang))
        done, _ = await asyncio.wait({reader}, timeout=10)
        assert done, "the load is not bounded"
        assert isinstance(reader.exception(), TimeoutError)

    assert 1 == loads


async def test_an_expired_loads_error_is_not_told(clock):
    """What failed before the key was expired says nothing of a load after it."""
    cache = _cache(clock, error_ttl_s=60)
    gate = asyncio.Event()

    async def fail_late():
        await gate.wait()
        await _fail()

    early = asyncio.ensure_future(cache.get("k", fail_late))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cache.expire("k")
    gate.set()
    with pytest.raises(ConnectionError):
        await early

    assert "value" == (await cache.get("k", _works)).value


async def test_a_success_ends_the_telling(clock):
    """Once a load succeeds nobody is told of the error before it."""
    cache = _cache(clock, ttl_s=1, error_ttl_s=60)
    with pytest.raises(ConnectionError):
        await cache.get("k", _fail)
    await cache.refresh("k", _works)

    assert "hit" == (await cache.get("k", _fail)).source
    clock.advance(2)
    with pytest.raises(ConnectionError):
        await cache.get("k", _fail)


def test_a_stale_copy_that_is_read_is_not_the_first_to_go(clock):
    """While loads fail, what is served stale all the time must stay."""
    config = CacheConfig(ttl_s=1, stale_s=60, max_entries=2, jitter=0)
    copies = Copies(clock, random.Random(0))
    for key in ("hot", "cold"):
        copies.keep(key, Aged(key, 0.0), 0.0, config, replaced=False)
    clock.advance(2)
    assert "stale" == copies.look("hot", config, clock())[0]
    copies.keep("new", Aged("new", 0.0), clock(), config, replaced=False)

    assert "stale" == copies.look("hot", config, clock())[0]
    assert "gone" == copies.look("cold", config, clock())[0]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["look", "keep", "fail", "expire", "wait"]),
        st.integers(0, 5),
    ),
    max_size=80,
)


@given(STEPS, st.sampled_from([0.0, 3.0]), st.sampled_from([0.0, 1.0]))
def test_whatever_happens_copies_keep_their_promises(steps, error_ttl_s, beta):
    """Nothing older than it may be is served, no error hides a copy, all is bounded."""
    clock = FakeClock()
    config = CacheConfig(
        ttl_s=2,
        stale_s=4,
        max_entries=3,
        jitter=0.2,
        error_ttl_s=error_ttl_s,
        early_refresh_beta=beta,
    )
    copies = Copies(clock, random.Random(1))
    failed_at = {}
    for step, key in steps:
        if step == "wait":
            clock.advance(key / 2)
        elif step == "keep":
            copies.keep(key, Aged(key, 0.0), clock() - 0.1, config, replaced=False)
            failed_at.pop(key, None)
        elif step == "fail":
            copies.failed(key, ConnectionError(), config)
            failed_at[key] = clock()
        elif step == "expire":
            copies.expire(key)
            failed_at.pop(key, None)
        else:
            try:
                verdict, copy = copies.look(key, config, clock())
            except ConnectionError:
                assert clock() < failed_at[key] + error_ttl_s
                held = copies._copies.get(key)
                assert held is None or clock() >= held.loaded_at + 6
                continue
            assert (copy is None) == (verdict == "gone")
            if copy is not None:
                age = clock() - copy.loaded_at
                assert age < (2 if verdict in {"fresh", "early"} else 6)
        assert len(copies) <= 3
        assert len(copies._errors) <= 3
