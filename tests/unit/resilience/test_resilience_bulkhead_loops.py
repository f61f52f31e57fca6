"""A bulkhead between event loops, of which one goes away."""

import asyncio
import contextlib

import pytest

from resilience import Bulkhead, BulkheadConfig

pytestmark = pytest.mark.resilience


def test_a_place_for_a_closed_loop_goes_to_the_next():
    """Who leaves gets no error of another's loop, and no place is lost."""
    bulkhead = Bulkhead("orders", BulkheadConfig(limit=1, max_wait_s=60))
    assert bulkhead.try_enter()
    dead = asyncio.new_event_loop()
    waiters = [dead.create_task(bulkhead.enter()) for _ in range(2000)]
    dead.run_until_complete(asyncio.sleep(0))
    dead.close()
    assert 2000 == bulkhead.waiting

    bulkhead.leave()

    assert (0, 0) == (bulkhead.in_flight, bulkhead.waiting)
    assert bulkhead.try_enter()
    # When the dead tasks are torn down at last they give nothing back.
    for waiter in waiters:
        waiter._log_destroy_pending = False
        with contextlib.suppress(RuntimeError):
            waiter.get_coro().close()
    assert 1 == bulkhead.in_flight


async def test_a_live_waiter_behind_dead_ones_gets_the_place():
    """The queue goes on to somebody who can take it."""
    bulkhead = Bulkhead("orders", BulkheadConfig(limit=1, max_wait_s=60))
    assert bulkhead.try_enter()
    dead = bulkhead._join(lambda: False)
    waiter = asyncio.ensure_future(bulkhead.enter())
    await asyncio.sleep(0)

    bulkhead.leave()
    await asyncio.wait_for(waiter, 20)

    assert (1, 0) == (bulkhead.in_flight, bulkhead.waiting)
    assert bulkhead._withdraw(dead)
