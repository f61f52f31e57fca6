"""Many rows for one statement, and tests that notice when it is not so."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, delete, insert, select

from cockroach import ids
from cockroach.batches import any_of, insert_many
from cockroach.loader import RowLoader
from cockroach.schema.tables import cart_keys, customers, ledger_entries, products
from cockroach.testing import TooManyStatementsError, expect_statements

ADD = insert_many(cart_keys, unless_there=True)
MANY = select(customers.c.id).where(
    customers.c.crdb_region == bindparam("region"), any_of(customers.c.id, "ids")
)
CLEAN = delete(cart_keys).where(
    cart_keys.c.crdb_region == bindparam("region"), any_of(cart_keys.c.idem_key, "keys")
)


def rows(region: str, count: int) -> list[dict[str, object]]:
    return [
        {
            "crdb_region": region,
            "customer_id": ids.customer_id(region, 1).uuid,
            "idem_key": uuid.uuid4().hex,
            "fingerprint": "f",
            "created_at": datetime.now(UTC),
        }
        for _ in range(count)
    ]


@pytest.fixture
def trips(wan_process):
    def count() -> int:
        links = wan_process.control.stats().items()
        return sum(one.trips for name, one in links if name.startswith("fdw-"))

    return count


async def test_many_rows_are_one_statement(database) -> None:
    """Two hundred rows go in with one, those already there are left alone."""
    one = database()
    given = rows("eu", 200)
    with expect_statements(at_most=2) as sent:
        first = await one.execute("eu", ADD.statement, ADD.params(given))
        again = await one.execute("eu", ADD.statement, ADD.params(given))
    await one.execute(
        "eu", CLEAN, {"region": "eu", "keys": [r["idem_key"] for r in given]}
    )

    assert (200, 0) == (first.rowcount, again.rowcount)
    assert ["INSERT cart_keys"] * 2 == [one.summary for one in sent]


async def test_many_rows_far_away_cost_one_statement_s_trips(
    cluster, database, trips
) -> None:
    """At a gateway that is not at home a batch pays what one row pays."""
    one = database(breaker=False)
    (gateway,) = [g for g in cluster.target("us").gateways if g.name == "us-a"]
    one._router.candidates = lambda policy, home: (gateway,)
    paid = []
    for count in (1, 100):
        given = rows("eu", count)
        before = trips()
        await one.execute("eu", ADD.statement, ADD.params(given))
        paid.append(trips() - before)

    assert paid[0] == paid[1]


async def test_reads_of_one_turn_are_one_statement(database) -> None:
    """Twelve functions ask for a row each; the database is asked once a home."""
    one = database(breaker=False)
    loader = RowLoader(one, customers.c.id, columns=[customers.c.name])
    wanted = [ids.customer_id("eu", n).uuid for n in range(1, 11)]
    with expect_statements(at_most=1) as sent:
        found = await asyncio.gather(
            *(loader.get("eu", key) for key in wanted), loader.get("eu", uuid.uuid4())
        )

    assert None is found[-1]
    assert all(row.name for row in found[:-1])
    assert ["SELECT customers"] == [one.summary for one in sent]
    with expect_statements(at_most=2, cross_region=1):
        here, there = await asyncio.gather(
            loader.get("eu", wanted[0]), loader.get("us", ids.customer_id("us", 1).uuid)
        )
    assert here.name
    assert there.name


async def test_a_global_table_needs_no_region(database) -> None:
    """The loader reads a GLOBAL table at whatever home it is told."""
    loader = RowLoader(database("asia"), products.c.id)

    assert "P0003" == (await loader.get("asia", "P0003")).id


async def test_n_plus_one_fails_its_test(database) -> None:
    """A row at a time is named, statement by statement."""
    one = database()

    async def page() -> None:
        with expect_statements(at_most=1):
            for n in range(3):
                key = ids.customer_id("eu", n).uuid
                await one.fetch("eu", MANY, {"region": "eu", "ids": [key]})

    with pytest.raises(TooManyStatementsError, match="3 statements where at most 1"):
        await page()


async def test_a_statement_that_leaves_its_region_fails_its_test(
    database, trips
) -> None:
    """On the way to its gateway, or from there on: either is noticed."""
    far = database("asia", breaker=False)
    key = {"region": "eu", "ids": [ids.customer_id("eu", 1).uuid]}
    with (
        pytest.raises(TooManyStatementsError, match="1 trips between regions"),
        expect_statements(at_most=1),
    ):
        await far.fetch("eu", MANY, key)
    home = database("eu", breaker=False)
    everywhere = select(customers.c.id).where(customers.c.name == "nobody")
    with (
        pytest.raises(TooManyStatementsError, match="2 trips between regions"),
        expect_statements(at_most=1, trips=trips),
    ):
        await home.fetch("eu", everywhere)


async def test_transaction_control_is_not_counted(database) -> None:
    """BEGIN and COMMIT are the runner's, not the page's."""
    one = database()
    row = rows("eu", 1)[0]
    with expect_statements(at_most=1):
        await one.transaction("eu", lambda t: t.execute(insert(cart_keys).values(row)))


def test_a_batch_knows_all_columns() -> None:
    """What the shop writes in batches can be written by this one."""
    made = insert_many(ledger_entries)

    assert tuple(ledger_entries.c.keys()) == made.columns
