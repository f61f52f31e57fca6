"""One product's stock on several rows: taken side by side, and never more than all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cockroach.database import Database, DataPolicy
from cockroach.ids import PublicId, new_id
from cockroach.schema.tables import STOCK_SHARDS
from resilience import RetryScheduled
from resilience.testing import RecordingListener
from services.inventory.domain import Line, OutOfStockError, ReservationClosedError
from services.inventory.store import InventoryStore
from tests.data.services_checkout.conftest import Tables

STORES = 4
POLICY = DataPolicy(
    gateway_choice="home_region",
    single_statements="autocommit",
    pool_size=2,
    pool_overflow=0,
    pool_timeout_s=20.0,
    warm=True,
    transaction_attempts=50,
    breaker=False,
)


class Process:
    """An inventory as a process of its own has it, and the attempts that it lost."""

    def __init__(self, cluster: Any) -> None:
        self._listener = RecordingListener()
        self.database = Database(
            cluster.target("eu"),
            region="eu",
            application="test",
            policy=lambda: POLICY,
            listener=self._listener,
        )
        self.store = InventoryStore(self.database, lambda: datetime.now(UTC))

    @property
    def lost(self) -> int:
        """Attempts that lost against another transaction."""
        return sum(
            isinstance(event, RetryScheduled) and event.code == "40001"
            for event in self._listener.events
        )


@pytest.fixture
async def processes(cluster: Any) -> AsyncIterator[list[Process]]:
    made = [Process(cluster) for _ in range(STORES)]
    yield made
    for one in made:
        await one.database.close()


def _spread(tables: Tables, product: str) -> dict[int, int]:
    rows = tables.rows(
        "select shard, available from stock "
        "where crdb_region = 'eu' and product_id = %s order by shard",
        product,
    )
    return {row["shard"]: row["available"] for row in rows}


def _order(shard: int) -> PublicId:
    """Make a new order that takes from this shard."""
    while True:
        order = new_id("eu")
        if order.uuid.int % STOCK_SHARDS == shard:
            return order


async def _side_by_side(
    processes: list[Process], product: str, *, shards: int, turns: int = 25
) -> int:
    """Have each process take batches of the product; tell how often any lost."""
    before = sum(one.lost for one in processes)
    together = asyncio.Barrier(len(processes))

    async def buy(number: int, process: Process) -> None:
        for _ in range(turns):
            # The leader's shard is the batch's: each process has another one.
            batch = [(_order(number), (Line(product, 1),))]
            batch += [(new_id("eu"), (Line(product, 1),)) for _ in range(4)]
            await together.wait()
            found = await process.store.reserve_together(batch, shards=shards)
            assert [None] * len(batch) == found

    await asyncio.gather(*(buy(n, one) for n, one in enumerate(processes)))
    return sum(one.lost for one in processes) - before


async def test_processes_lose_on_one_row_and_hardly_on_shards(
    processes: list[Process],
    tables: Callable[[], Tables],
    product: Callable[[int], str],
) -> None:
    """Side by side they take its only row from each other, and its shards do not."""
    one, many = product(100_000), product(100_000)
    await processes[0].store.reserve_each(
        _order(7), [Line(many, 100_000 // 2)], shards=STOCK_SHARDS
    )
    on_one = await _side_by_side(processes, one, shards=1)
    on_many = await _side_by_side(processes, many, shards=STOCK_SHARDS)

    taken = STORES * 25 * 5
    assert 100_000 - taken == tables().stock(one)
    assert 50_000 - taken == tables().stock(many)
    assert 100_000 - taken == _spread(tables(), one)[0]
    assert on_one >= 20
    assert on_many * 10 <= on_one, f"{on_one} lost on one row, {on_many} on shards"


@pytest.mark.parametrize("batched", [True, False], ids=["batched", "each"])
async def test_stock_is_found_wherever_it_lies(
    processes: list[Process],
    tables: Callable[[], Tables],
    product: Callable[[int], str],
    batched: bool,
) -> None:
    """All on one row, spread, and on one again: nothing stranded, the rest evenly."""
    one = product(20)
    store = processes[0].store
    take = store.reserve_all if batched else store.reserve_each
    await take(_order(3), [Line(one, 3)], shards=STOCK_SHARDS)
    evenly = _spread(tables(), one)
    await take(_order(3), [Line(one, 12)], shards=STOCK_SHARDS)
    await take(_order(3), [Line(one, 2)], shards=1)
    gathered = _spread(tables(), one)
    with pytest.raises(OutOfStockError, match=one):
        await take(_order(3), [Line(one, 4)], shards=STOCK_SHARDS)
    last = _order(5)
    await take(last, [Line(one, 3)], shards=STOCK_SHARDS)
    with pytest.raises(OutOfStockError, match=one):
        await take(_order(0), [Line(one, 1)], shards=1)
    give = store.release_all if batched else store.release_each
    await give(last)
    await give(last)

    assert {0: 3, **dict.fromkeys(range(1, 8), 2)} == evenly
    assert {0: 3, **dict.fromkeys(range(1, 8), 0)} == gathered
    assert 3 == tables().stock(one)
    assert {one: 3} == await store.available_all("eu", [one])
    assert {one: 3} == await store.available_each("eu", [one])


async def test_a_product_of_one_row_gets_its_shards(
    processes: list[Process],
    tables: Callable[[], Tables],
    product: Callable[[int], str],
) -> None:
    """Rows that are not there yet are made, by whoever is the first to need them."""
    one = product(80)
    tables().rows(
        "delete from stock where crdb_region = 'eu' and product_id = %s "
        "and shard <> 0 returning shard",
        one,
    )
    await asyncio.gather(
        *(
            process.store.reserve_all(
                _order(n + 1), [Line(one, 1)], shards=STOCK_SHARDS
            )
            for n, process in enumerate(processes)
        )
    )

    assert 80 - STORES == tables().stock(one)
    assert set(range(STOCK_SHARDS)) == set(_spread(tables(), one))


class Muddle:
    """Orders taken in every way, in both settings, some twice and some given back."""

    def __init__(self, products: list[str]) -> None:
        self._rng = random.Random(7)
        self._products = products
        self.taken: dict[PublicId, list[Line]] = {}
        self.gone: set[PublicId] = set()

    async def shop(self, process: Process) -> None:
        for _ in range(12):
            orders = [self._wanted() for _ in range(self._rng.randint(1, 4))]
            found = await self._take(process.store, orders)
            for (order, lines), outcome in zip(orders, found, strict=True):
                if outcome is None:
                    self.taken[order] = lines
                else:
                    assert isinstance(outcome, OutOfStockError)
            if self.taken:
                await self._again(process.store)

    def held(self, product: str) -> int:
        """Tell how much of a product the orders have that kept theirs."""
        return sum(
            line.quantity
            for order, lines in self.taken.items()
            if order not in self.gone
            for line in lines
            if line.product_id == product
        )

    def _wanted(self) -> tuple[PublicId, list[Line]]:
        rng = self._rng
        chosen = sorted(rng.sample(self._products, rng.choice((1, 2))))
        return new_id("eu"), [Line(one, rng.randint(1, 3)) for one in chosen]

    async def _take(
        self, store: InventoryStore, orders: list[tuple[PublicId, list[Line]]]
    ) -> list[Any]:
        shards = self._rng.choice((1, STOCK_SHARDS))
        how = self._rng.choice(("together", "all", "each"))
        if how == "together":
            return list(await store.reserve_together(orders, shards=shards))
        take = store.reserve_all if how == "all" else store.reserve_each
        return await asyncio.gather(
            *(take(*one, shards=shards) for one in orders), return_exceptions=True
        )

    async def _again(self, store: InventoryStore) -> None:
        """Ask for an order a second time, or give it back and ask then."""
        order = self._rng.choice(sorted(self.taken, key=str))
        if self._rng.random() < 0.5:
            self.gone.add(order)
            await self._rng.choice((store.release_all, store.release_each))(order)
        try:
            (outcome,) = await self._take(store, [(order, self.taken[order])])
        except ReservationClosedError as closed:
            outcome = closed
        if outcome is not None:
            assert isinstance(outcome, ReservationClosedError)
            assert order in self.gone


async def test_nothing_is_oversold_while_the_setting_flips(
    processes: list[Process],
    tables: Callable[[], Tables],
    product: Callable[[int], str],
) -> None:
    """Whoever takes how many, alone, together or line by line: the books balance."""
    stocked = {product(60): 60, product(45): 45}
    muddle = Muddle(list(stocked))
    await asyncio.gather(*(muddle.shop(one) for one in processes))

    for name, there in stocked.items():
        spread = _spread(tables(), name)
        assert there == muddle.held(name) + sum(spread.values())
        assert min(spread.values()) >= 0
    kept = muddle.taken.keys() - muddle.gone
    assert {"reserved"} == {tables().state("reservations", one) for one in kept}
    assert {"released"} == {tables().state("reservations", one) for one in muddle.gone}
