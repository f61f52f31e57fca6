"""Reads at a streaming copy of another region's server."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import bindparam, select, text, update

from cockroach import ids
from cockroach.database import Stale
from cockroach.embedded import EmbeddedCluster
from cockroach.schema.tables import customers, stock
from cockroach.testing import expect_statements
from cockroach.topology import Replica
from observability import names

CUSTOMER = select(customers.c.name).where(
    customers.c.crdb_region == bindparam("region"), customers.c.id == bindparam("id")
)
EU = {"region": "eu", "id": ids.customer_id("eu", 3).uuid}
P7 = (
    stock.c.crdb_region == "eu",
    stock.c.product_id == "P0007",
    stock.c.shard == 0,
)
AVAILABLE = select(stock.c.available).where(*P7)


@pytest.fixture(scope="module")
def replica(cluster: EmbeddedCluster) -> Replica:
    return cluster.add_replica("eu", at="us")


@pytest.fixture
def touch(cluster: EmbeddedCluster, dial):
    """Commit something at home, so that the copy has something to replay."""
    with dial(cluster, "eu", "eu-a") as home:
        yield lambda: home.execute(
            "update stock set available = available"
            " where crdb_region = 'eu' and product_id = 'P0008'"
        )


def of_last(spans) -> dict[str, object]:
    told = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    return [one for one in told if one.get(names.STALE_SERVED)][-1]


async def test_a_stale_read_does_not_leave_its_region(
    database, replica, spans, touch
) -> None:
    """The copy near the client answers, and its age is on the span."""
    one = database("us", breaker=False)
    fresh = await one.fetch("eu", CUSTOMER, EU)
    for _ in range(50):
        touch()
        with expect_statements(at_most=2, cross_region=1):
            stale = await one.fetch("eu", CUSTOMER, EU, stale=Stale(5))
        if of_last(spans)[names.STALE_SERVED] == "replica":
            break
    told = of_last(spans)

    assert fresh == stale
    assert ("replica", "eu-at-us", "us", "eu") == (
        told[names.STALE_SERVED],
        told[names.GATEWAY_NAME],
        told[names.GATEWAY_REGION],
        told[names.HOME_REGION],
    )
    assert 0 <= told[names.STALENESS_MS] <= 5000
    assert 5000 == told[names.STALE_AT_MOST_MS]


async def test_a_copy_follows_its_home(database, replica, touch) -> None:
    """What is committed at home is read at the copy soon after."""
    one = database("us", breaker=False)
    await one.execute("eu", update(stock).where(*P7).values(available=4321))
    seen = None
    async with asyncio.timeout(10):
        while seen != 4321:
            touch()
            seen = (await one.fetch("eu", AVAILABLE, stale=Stale(30)))[0][0]


async def test_a_copy_takes_no_writes(database, replica, touch) -> None:
    """Only reads may be stale."""
    from cockroach.errors import StatementError

    one = database("us", breaker=False)
    touch()
    with pytest.raises(StatementError):
        await one.fetch(
            "eu", text("UPDATE stock SET available = 1 WHERE false"), stale=Stale(30)
        )


async def test_where_there_is_no_copy_the_home_answers(
    database, replica, spans
) -> None:
    """Asia has none: the read is fresh, and says why it went so far."""
    one = database("asia", breaker=False)
    await one.fetch("eu", CUSTOMER, EU, stale=Stale(10))
    told = of_last(spans)

    assert ("home", "no_replica", 0, "eu") == (
        told[names.STALE_SERVED],
        told[names.STALE_REASON],
        told[names.STALENESS_MS],
        told[names.GATEWAY_REGION],
    )
