"""Shared loads that are cancelled from within, and errors that are let go."""

import asyncio
import gc
import random
import weakref

import pytest

from resilience import CacheConfig, Coalescer
from resilience._copies import Copies, LoadCancelledError
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


async def _cancelled():
    await asyncio.sleep(0)
    # What grpc.aio raises to whoever awaits a call when its channel is closed.
    raise asyncio.CancelledError


async def _one():
    return 1


async def test_a_load_that_cancels_itself_cancels_no_reader():
    """Readers get an error; a task group would take their cancelling for its own."""
    cache = Coalescer(CacheConfig())
    told = []

    async def read():
        try:
            await cache.get("k", _cancelled)
        except LoadCancelledError as error:
            told.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(read())

    assert 5 == len(told)
    found = await cache.get("k", _one)
    assert (1, "fresh") == (found.value, found.source)


@pytest.mark.parametrize("stale_wait_s", [0.0, 5.0])
@pytest.mark.parametrize("revalidate", [True, False])
async def test_a_stale_copy_covers_a_cancelled_load(stale_wait_s, revalidate):
    """It is a failed load like any other."""
    clock = FakeClock()
    config = CacheConfig(
        ttl_s=1,
        stale_s=9,
        stale_wait_s=stale_wait_s,
        stale_while_revalidate=revalidate,
    )
    cache = Coalescer(config, clock=clock)
    await cache.get("k", _one)
    clock.advance(2)

    found = await cache.get("k", _cancelled)

    assert (1, "stale") == (found.value, found.source)


async def test_a_cancelled_load_is_not_told_to_later_readers():
    """It says nothing about the callee, so error_ttl_s does not hold it."""
    cache = Coalescer(CacheConfig(error_ttl_s=60))
    with pytest.raises(LoadCancelledError):
        await cache.get("k", _cancelled)

    assert 1 == (await cache.get("k", _one)).value


async def test_who_cancels_the_load_itself_cancels_it():
    """When the loop ends it cancels every task; that is nobody's error."""
    cache, loading = Coalescer(CacheConfig()), asyncio.Event()

    async def hang():
        loading.set()
        await asyncio.Event().wait()

    reader = asyncio.ensure_future(cache.get("k", hang))
    await asyncio.wait_for(loading.wait(), 20)
    (load,) = cache._loads.values()
    load.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reader
    assert load.cancelled()


class _Held:
    """What a failed load's frame held on to."""


def test_errors_of_an_old_outage_hold_nothing():
    """Keys that nobody asks for again lose their errors as others are read."""
    clock = FakeClock()
    copies = Copies(clock, random.Random(0))
    config = CacheConfig(error_ttl_s=1.0)
    held = []

    def fail(key):
        request = _Held()
        held.append(weakref.ref(request))
        raise ConnectionError(key)

    for key in range(100):
        try:
            fail(key)
        except ConnectionError as error:
            copies.failed(key, error, config)
    clock.advance(1.0)
    for _ in range(50):
        assert ("gone", None) == copies.look("other", config, clock())
    gc.collect()

    assert not copies._errors
    assert [None] * 100 == [one() for one in held]


def test_errors_that_are_still_to_be_told_stay():
    """Reading other keys takes nothing away before its time."""
    clock = FakeClock()
    copies = Copies(clock, random.Random(0))
    config = CacheConfig(error_ttl_s=1.0)
    copies.failed("down", ConnectionError("down"), config)
    clock.advance(0.9)
    for _ in range(10):
        copies.look("other", config, clock())

    with pytest.raises(ConnectionError):
        copies.look("down", config, clock())
