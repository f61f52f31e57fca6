"""Orders that come while others are under way go together, each with its outcome."""

import asyncio

import pytest

from cockroach.ids import new_id
from resilience import Deadline, current_deadline, deadline_scope
from services.inventory.domain import Line, OutOfStockError
from services.inventory.together import MOST, Together

LINES = (Line("P0001", 1),)


class Store:
    """Takes a batch when it is let; orders in `short` are out of stock."""

    def __init__(self):
        self.batches = []
        self.deadlines = []
        self.go = asyncio.Event()
        self.short = set()
        self.error = None

    async def __call__(self, wanted):
        self.batches.append([one.order for one in wanted])
        self.deadlines.append(current_deadline())
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return [
            OutOfStockError(["P0001"]) if one.order in self.short else None
            for one in wanted
        ]


@pytest.fixture
async def store():
    return Store()


async def in_line(together, orders):
    """Let each order get in line, the first one under way by itself."""
    tasks = []
    for order in orders:
        tasks.append(asyncio.create_task(together.reserve(order, LINES)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return tasks


async def test_who_comes_meanwhile_goes_together(store):
    """One batch at a time, and the next holds everybody who came during the last."""
    together = Together(store)
    orders = [new_id("eu") for _ in range(5)]
    tasks = await in_line(together, orders)
    store.go.set()
    await asyncio.gather(*tasks)

    assert [orders[:1], orders[1:]] == store.batches


async def test_a_batch_has_its_bound(store):
    """However many stand in line, one transaction takes so many and no more."""
    together = Together(store)
    tasks = await in_line(together, [new_id("eu") for _ in range(MOST + 5)])
    store.go.set()
    await asyncio.gather(*tasks)

    assert [1, MOST, 4] == [len(batch) for batch in store.batches]


async def test_each_order_has_its_own_outcome(store):
    """One that is out of stock refuses nobody else of its batch."""
    together = Together(store)
    orders = [new_id("eu") for _ in range(4)]
    store.short = {orders[2]}
    tasks = await in_line(together, orders)
    store.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)

    assert [None, None, None] == [found[0], found[1], found[3]]
    assert isinstance(found[2], OutOfStockError)


async def test_a_lost_batch_is_told_to_everybody_and_the_line_moves_on(store):
    """What the database raises is each caller's, and the next batch is tried."""
    together = Together(store)
    tasks = await in_line(together, [new_id("eu") for _ in range(3)])
    store.error = ConnectionError("gone")
    store.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    store.error = None
    await together.reserve(new_id("eu"), LINES)

    assert [ConnectionError] * 3 == [type(one) for one in found]
    assert len(store.batches) == 3


async def test_whoever_leaves_the_line_is_not_taken(store):
    """A caller who gave up before his turn leaves nothing behind, and no gap."""
    together = Together(store)
    orders = [new_id("eu") for _ in range(3)]
    tasks = await in_line(together, orders)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    store.go.set()
    await asyncio.gather(tasks[0], tasks[2])

    assert [orders[:1], orders[2:]] == store.batches


async def test_whoever_leaves_under_way_takes_nobody_along(store):
    """The others of his batch have their answer all the same."""
    together = Together(store)
    tasks = await in_line(together, [new_id("eu") for _ in range(3)])
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    store.go.set()

    assert [None, None] == await asyncio.gather(*tasks[1:])


async def test_the_most_patient_caller_lends_his_time(store):
    """Nobody's short deadline ends the batch of those who can wait."""
    together = Together(store)

    async def come(seconds):
        with deadline_scope(seconds):
            await together.reserve(new_id("eu"), LINES)

    tasks = []
    for seconds in (9.0, 1.0, 5.0):
        tasks.append(asyncio.create_task(come(seconds)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    store.go.set()
    await asyncio.gather(*tasks)
    first, second = store.deadlines

    assert isinstance(first, Deadline)
    assert 8 < first.remaining() <= 9
    assert 4 < second.remaining() <= 5
