"""Orders that share a transaction are taken, refused and finished each by itself."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from cockroach.ids import new_id
from services.inventory import statements as sql
from services.inventory.domain import Line, OutOfStockError, ReservationClosedError
from services.inventory.store import InventoryStore

LINES = (Line("P0001", 2),)


class FakeDatabase:
    """One transaction that answers each order's statement by what `rows` says."""

    def __init__(self, lost=0):
        self.rows = {}
        self.asked = []
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

    async def fetch(self, statement, params):
        self.asked.append((statement, params["order"]))
        state, fresh = self.rows.get(params["order"], (None, 1))
        available = 5 if fresh or state else 1
        row = {"fresh": fresh, "state": state, "available": available, "lines": []}
        return [SimpleNamespace(**row, product_id="P0001")]


@pytest.fixture
def orders():
    return [new_id("eu") for _ in range(4)]


def store(database):
    return InventoryStore(database, lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_refused_order_leaves_the_others_alone(orders):
    """Short of stock or closed, each hears of it, and the transaction goes on."""
    database = FakeDatabase()
    database.rows = {orders[1].uuid: (None, 0), orders[2].uuid: ("released", 0)}
    found = await store(database).reserve_together([(one, LINES) for one in orders])

    assert (None, None) == (found[0], found[3])
    assert isinstance(found[1], OutOfStockError)
    assert isinstance(found[2], ReservationClosedError)
    assert 1 == database.transactions
    assert [(sql.RESERVE, one.uuid) for one in orders] == database.asked


async def test_a_repeated_order_is_taken_once(orders):
    """One that was committed before has nothing left to take, and is no error."""
    database = FakeDatabase()
    database.rows = {orders[0].uuid: ("committed", 0)}

    assert [None, None] == await store(database).reserve_together(
        [(one, LINES) for one in orders[:2]]
    )
    assert 1 == database.transactions


async def test_an_order_begun_line_by_line_is_finished_by_itself(orders):
    """What its reservation lacks is taken after the others have theirs."""
    database = FakeDatabase()
    database.rows = {orders[1].uuid: ("reserved", 0)}
    inventory = store(database)
    finished = []

    async def reserve_each(order, lines):
        finished.append((order, tuple(lines)))

    inventory.reserve_each = reserve_each
    found = await inventory.reserve_together([(one, LINES) for one in orders])

    assert [None] * 4 == found
    assert [(orders[1], LINES)] == finished


async def test_a_lost_transaction_tells_each_outcome_once(orders):
    """What the first attempt had found is forgotten with it."""
    database = FakeDatabase(lost=1)
    database.rows = {orders[1].uuid: ("reserved", 0)}
    inventory = store(database)
    finished = []

    async def reserve_each(order, lines):
        finished.append(order)

    inventory.reserve_each = reserve_each
    found = await inventory.reserve_together([(one, LINES) for one in orders])

    assert [None] * 4 == found
    assert [orders[1]] == finished
