"""Reads at a streaming copy of another region's server."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from sqlalchemy import bindparam, select, text, update

from cockroach import ids
from cockroach.database import Stale
from cockroach.errors import DatabaseUnavailableError, StatementError
from cockroach.schema.tables import customers, stock
from cockroach.testing import expect_statements
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


def of_last(spans) -> dict[str, object]:
    told = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    return [one for one in told if one.get(names.STALE_SERVED)][-1]


async def test_a_stale_read_does_not_leave_its_region(
    database, replica, spans, touch_eu
) -> None:
    """The copy near the client answers, and its age is on the span."""
    one = database("us", breaker=False)
    fresh = await one.fetch("eu", CUSTOMER, EU)
    for _ in range(50):
        touch_eu()
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


async def test_a_copy_follows_its_home(database, replica, touch_eu) -> None:
    """What is committed at home is read at the copy soon after."""
    one = database("us", breaker=False)
    await one.execute("eu", update(stock).where(*P7).values(available=4321))
    seen = None
    async with asyncio.timeout(10):
        while seen != 4321:
            touch_eu()
            seen = (await one.fetch("eu", AVAILABLE, stale=Stale(30)))[0][0]


async def test_the_copy_of_a_quiet_home_is_not_old(database, replica) -> None:
    """Nobody writes there, and yet the copy knows that it has missed nothing."""
    one = database("us", breaker=False)
    age = text(
        "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())"
    )
    seen: list[float] = []
    async with asyncio.timeout(30):
        # It grows older, and younger again without anybody's doing: three times.
        while sum(b < a for a, b in pairwise(seen)) < 3:
            copied = await one.fetch_copy("eu", age, stale=Stale(60))
            seen.append(float(copied.result.rows[0][0]))
            await asyncio.sleep(0.1)

    assert max(seen) < 10


async def test_a_copy_takes_no_writes(database, replica, touch_eu) -> None:
    """Only reads may be stale."""
    one = database("us", breaker=False)
    touch_eu()
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


async def test_a_home_that_is_away_is_read_at_its_copy(
    database, replica, spans, touch_eu
) -> None:
    """Eu's own clients read their rows in us, over a link, when they say so."""
    one = database("eu", breaker=False)
    fresh = await one.fetch("eu", CUSTOMER, EU)
    async with asyncio.timeout(10):
        touch_eu()
        with expect_statements(at_most=2, cross_region=2):
            copied = await one.fetch_copy("eu", CUSTOMER, EU, stale=Stale(5))
    told = of_last(spans)

    assert fresh == copied.result.rows
    assert 0 <= copied.behind_s <= 5
    assert ("replica", "home_away", "eu-at-us", "eu") == (
        told[names.STALE_SERVED],
        told[names.STALE_REASON],
        told[names.GATEWAY_NAME],
        told[names.HOME_REGION],
    )


async def test_without_a_copy_nothing_is_asked(database, replica) -> None:
    """Asia has none: an error at once, and no statement."""
    one = database("eu", breaker=False)
    with expect_statements(at_most=0), pytest.raises(DatabaseUnavailableError) as said:
        await one.fetch_copy("asia", CUSTOMER, EU, stale=Stale(10))

    assert "no_replica" == said.value.reason


async def test_a_copy_is_kept_warm_for_who_asks(database, replica, until) -> None:
    """Its connections are open before its home is away."""
    one = database("eu", breaker=False)
    await one.start()
    assert "eu-at-us" not in {pool.gateway for pool in one.pool_stats()}
    one.keep_copy()
    await until(
        lambda: any(
            (pool.gateway, pool.idle) == ("eu-at-us", 2) for pool in one.pool_stats()
        )
    )
