"""Orders that share a transaction are taken, refused and finished each by itself."""

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from cockroach.errors import DatabaseUnavailableError, TransactionConflictError
from cockroach.ids import new_id
from services.inventory import statements as sql
from services.inventory.domain import Line, OutOfStockError, ReservationClosedError
from services.inventory.store import InventoryStore

LINES = (Line("P0001", 2),)


class FakeDatabase:
    """One transaction that answers each order's statement by what `rows` says.

    A fresh one takes all; one with neither state nor fresh finds its shard short.
    """

    def __init__(self, lost=0):
        self.rows = {}
        self.asked = []
        self.shards = set()
        self.left = {"P0001": 1}
        self.transactions = 0
        self._lost = lost

    async def transaction(self, region, work):
        self.transactions += 1
        found = await work(self)
        if self._lost:
            # The database took another's side: all of it is done again.
            self._lost -= 1
            found = await work(self)
        return found

    async def fetch(self, *asked):
        statement, params = asked[-2:]
        if statement is sql.AVAILABLE:
            return [
                SimpleNamespace(product_id=product, available=Decimal(count))
                for product, count in self.left.items()
                if product in params["products"]
            ]
        self.asked.append((statement, params["order"]))
        self.shards.add(params["from_shard"])
        state, fresh = self.rows.get(params["order"], (None, 1))
        return [SimpleNamespace(fresh=fresh, state=state, lines=[])]


@pytest.fixture
def orders():
    return [new_id("eu") for _ in range(4)]


def store(database):
    return InventoryStore(database, lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_refused_order_leaves_the_others_alone(orders):
    """Short of stock or closed, each hears of it, and the transaction goes on."""
    database = FakeDatabase()
    database.rows = {orders[1].uuid: (None, 0), orders[2].uuid: ("released", 0)}
    found = await store(database).reserve_together(
        [(one, LINES) for one in orders], shards=8
    )

    assert (None, None) == (found[0], found[3])
    assert isinstance(found[1], OutOfStockError)
    assert isinstance(found[2], ReservationClosedError)
    assert 1 == database.transactions
    assert [(sql.RESERVE, one.uuid) for one in orders] == database.asked
    assert {orders[0].uuid.int % 8} == database.shards


async def test_a_repeated_order_is_taken_once(orders):
    """One that was committed before has nothing left to take, and is no error."""
    database = FakeDatabase()
    database.rows = {orders[0].uuid: ("committed", 0)}

    assert [None, None] == await store(database).reserve_together(
        [(one, LINES) for one in orders[:2]], shards=8
    )
    assert 1 == database.transactions


async def test_an_order_begun_line_by_line_is_finished_by_itself(orders):
    """What its reservation lacks is taken after the others have theirs."""
    database = FakeDatabase()
    database.rows = {orders[1].uuid: ("reserved", 0)}
    inventory = store(database)
    finished = []

    async def reserve_each(order, lines, *, shards):
        finished.append((order, tuple(lines)))

    inventory.reserve_each = reserve_each
    found = await inventory.reserve_together([(one, LINES) for one in orders], shards=8)

    assert [None] * 4 == found
    assert [(orders[1], LINES)] == finished


async def test_a_lost_transaction_tells_each_outcome_once(orders):
    """What the first attempt had found is forgotten with it."""
    database = FakeDatabase(lost=1)
    database.rows = {orders[1].uuid: ("reserved", 0)}
    inventory = store(database)
    finished = []

    async def reserve_each(order, lines, *, shards):
        finished.append(order)

    inventory.reserve_each = reserve_each
    found = await inventory.reserve_together([(one, LINES) for one in orders], shards=8)

    assert [None] * 4 == found
    assert [orders[1]] == finished


async def test_an_order_whose_shard_is_short_is_taken_from_the_others(orders):
    """There is enough in all: it goes by itself, and the rest of its batch is done."""
    database = FakeDatabase()
    database.rows = {orders[1].uuid: (None, 0)}
    database.left = {"P0001": 2}
    inventory = store(database)
    finished = []

    async def reserve_each(order, lines, *, shards):
        finished.append((order, tuple(lines), shards))

    inventory.reserve_each = reserve_each
    found = await inventory.reserve_together([(one, LINES) for one in orders], shards=8)

    assert [None] * 4 == found
    assert [(orders[1], LINES, 8)] == finished


async def test_one_orders_trouble_is_not_told_to_those_that_are_done(orders):
    """Neither that it lost its own transaction, nor that its look was not answered."""
    lost = TransactionConflictError("lost", sqlstate="40001")
    away = DatabaseUnavailableError("eu", "breaker_open")
    database = FakeDatabase()
    database.rows = {orders[1].uuid: ("reserved", 0)}
    inventory = store(database)

    async def conflict(order, lines, *, shards):
        raise lost

    async def unanswered(region, products):
        raise away

    inventory.reserve_each = conflict
    wanted = [(one, LINES) for one in orders]
    assert [None, lost, None, None] == await inventory.reserve_together(
        wanted, shards=8
    )
    database.rows = {orders[2].uuid: (None, 0)}
    inventory.available_all = unanswered
    assert [None, None, away, None] == await inventory.reserve_together(
        wanted, shards=8
    )


async def test_a_lone_order_is_refused_by_the_sum_and_not_by_its_shard(orders):
    """A short shard is no refusal; too little in all is, without a transaction."""
    database = FakeDatabase()
    database.rows = {orders[0].uuid: (None, 0)}
    inventory = store(database)
    finished = []

    async def reserve_each(order, lines, *, shards):
        finished.append(order)

    inventory.reserve_each = reserve_each
    with pytest.raises(OutOfStockError, match="P0001"):
        await inventory.reserve_all(orders[0], LINES, shards=8)
    assert [] == finished
    database.left = {"P0001": 2}
    await inventory.reserve_all(orders[0], LINES, shards=8)

    assert [orders[0]] == finished
    assert 0 == database.transactions
