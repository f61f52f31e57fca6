"""The bulkhead: never over its limit, fair, and nothing lost to a cancelled waiter."""

import asyncio
import threading

import pytest

from resilience import Bulkhead, BulkheadConfig, BulkheadFullError

pytestmark = pytest.mark.resilience


async def test_refuses_at_once_without_a_wait():
    """With no wait configured the call over the limit is refused."""
    bulkhead = Bulkhead("x", BulkheadConfig(limit=1))
    await bulkhead.enter()

    with pytest.raises(BulkheadFullError, match="x is full: 1 in flight"):
        await bulkhead.enter()
    bulkhead.leave()
    await bulkhead.enter()


async def test_waiters_get_places_in_their_order():
    """Who waits longest is next, and a newcomer does not overtake."""
    bulkhead = Bulkhead("x", BulkheadConfig(limit=1, max_wait_s=5))
    await bulkhead.enter()
    order = []

    async def waiter(name):
        await bulkhead.enter()
        order.append(name)

    waiters = [asyncio.ensure_future(waiter(name)) for name in "abc"]
    await asyncio.sleep(0)
    for _ in waiters:
        assert not bulkhead.try_enter()
        bulkhead.leave()
        await asyncio.sleep(0.01)
    await asyncio.gather(*waiters)

    assert ["a", "b", "c"] == order


async def test_a_wait_ends_in_time():
    """A place that does not come free within the wait is a refusal, and no leak."""
    bulkhead = Bulkhead("x", BulkheadConfig(limit=1, max_wait_s=0.01))
    await bulkhead.enter()
    with pytest.raises(BulkheadFullError):
        await bulkhead.enter()
    bulkhead.leave()

    assert (0, 0) == (bulkhead.in_flight, bulkhead.waiting)


async def test_a_cancelled_waiter_takes_no_place_along():
    """A place granted to a waiter who was cancelled meanwhile goes to the next."""
    bulkhead = Bulkhead("x", BulkheadConfig(limit=1, max_wait_s=5))
    await bulkhead.enter()
    gone = asyncio.ensure_future(bulkhead.enter())
    stays = asyncio.ensure_future(bulkhead.enter())
    await asyncio.sleep(0)
    bulkhead.leave()
    gone.cancel()
    await asyncio.wait_for(stays, 1)

    assert (1, 0) == (bulkhead.in_flight, bulkhead.waiting)
    bulkhead.leave()
    assert 0 == bulkhead.in_flight


def test_threads_never_exceed_the_limit():
    """Thirty threads through four places: never more than four inside."""
    bulkhead = Bulkhead("x", BulkheadConfig(limit=4, max_wait_s=10))
    peak, lock, inside = [0], threading.Lock(), [0]

    def use():
        for _ in range(20):
            bulkhead.enter_blocking()
            with lock:
                inside[0] += 1
                peak[0] = max(peak[0], inside[0])
            with lock:
                inside[0] -= 1
            bulkhead.leave()

    threads = [threading.Thread(target=use) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert peak[0] <= 4
    assert (0, 0) == (bulkhead.in_flight, bulkhead.waiting)


def test_a_raised_limit_lets_waiters_in():
    """Reconfiguring upwards grants places to waiters, downwards evicts nobody."""
    bulkhead = Bulkhead("x", BulkheadConfig(limit=1, max_wait_s=5))
    bulkhead.enter_blocking()
    waiter = threading.Thread(target=bulkhead.enter_blocking)
    waiter.start()
    while not bulkhead.waiting:
        pass
    bulkhead.reconfigure(BulkheadConfig(limit=2))
    waiter.join(5)
    bulkhead.reconfigure(BulkheadConfig(limit=1))

    assert "<Bulkhead x 2/1 in flight, 0 waiting>" == repr(bulkhead)
