"""The data layer when things go wrong: conflicts, deadlines, leavers."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from opentelemetry.trace import SpanKind
from sqlalchemy import bindparam, select, text, update

from cockroach import ids
from cockroach.database import Database, Transaction
from cockroach.errors import (
    DeadlineSpentError,
    OutOfRetriesError,
)
from cockroach.schema.tables import customers, stock
from resilience import RetryScheduled, deadline_scope

CUSTOMER = select(customers).where(
    customers.c.crdb_region == bindparam("region"), customers.c.id == bindparam("id")
)
ME = {"region": "eu", "id": ids.customer_id("eu", 3).uuid}
P2 = (
    stock.c.crdb_region == "eu",
    stock.c.product_id == "P0002",
    stock.c.shard == 0,
)
CLIENT = SpanKind.CLIENT
LINKS = ("sql-eu-to-eu-a", "sql-eu-to-eu-b")


def idle(one: Database) -> bool:
    return all(p.busy == 0 and p.opening == 0 for p in one.pool_stats())


async def available(one: Database) -> int:
    return int((await one.fetch("eu", select(stock.c.available).where(*P2)))[0][0])


async def test_lost_transactions_are_run_again_as_a_whole(database, listener) -> None:
    """Concurrent read-then-write loses nothing: SERIALIZABLE refuses, we repeat."""
    one = database(pool_size=4, transaction_attempts=50, breaker=False)
    before = await available(one)
    runs = 0

    async def take(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        (row,) = await transaction.fetch(select(stock.c.available).where(*P2))
        await asyncio.sleep(0.005)
        await transaction.execute(
            update(stock).where(*P2).values(available=row.available - 1)
        )

    await asyncio.gather(*(one.transaction("eu", take) for _ in range(12)))
    conflicts = listener.of(RetryScheduled)

    assert await available(one) == before - 12
    assert runs == 12 + len(conflicts)
    assert {event.code for event in conflicts} == {"40001"}
    assert idle(one)


async def test_a_transaction_gives_up_after_its_attempts(database) -> None:
    """The policy bounds the attempts; the error tells how many and why."""
    one = database(transaction_attempts=3, breaker=False)
    runs = 0

    async def lose(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        await transaction.execute(
            text("DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$")
        )

    with pytest.raises(OutOfRetriesError) as told:
        await one.transaction("eu", lose)

    assert (runs, told.value.attempts, told.value.sqlstate) == (3, 3, "40001")


async def test_a_conflict_that_the_work_swallowed_is_not_committed(database) -> None:
    """A transaction the server has given up is never reported as done."""
    one = database(transaction_attempts=2, breaker=False)

    async def swallow(transaction: Transaction) -> str:
        with contextlib.suppress(Exception):
            await transaction.execute(
                text("DO $$ BEGIN RAISE EXCEPTION '' USING ERRCODE = '40001'; END $$")
            )
        return "done"

    with pytest.raises(OutOfRetriesError):
        await one.transaction("eu", swallow)
    assert idle(one)


async def test_the_deadline_ends_the_retries(database) -> None:
    """No attempt is begun that the caller would not wait for."""
    one = database(transaction_attempts=1000, breaker=False)

    async def lose(transaction: Transaction) -> None:
        await transaction.execute(
            text("DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$")
        )

    began = time.monotonic()
    with deadline_scope(0.4), pytest.raises(OutOfRetriesError, match="deadline"):
        await one.transaction("eu", lose)
    assert time.monotonic() - began < 2
    with deadline_scope(-1.0), pytest.raises(DeadlineSpentError):
        await one.fetch("eu", CUSTOMER, ME)


async def test_an_error_of_the_work_rolls_back(database) -> None:
    """What the work raises comes out unchanged, and nothing it wrote stays."""
    one = database()
    before = await available(one)

    async def fail(transaction: Transaction) -> None:
        await transaction.execute(update(stock).where(*P2).values(available=1))
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        await one.transaction("eu", fail)

    assert await available(one) == before
    assert idle(one)


async def test_leaving_a_statement_keeps_its_connection(database, until) -> None:
    """A cancelled caller leaves at once; the connection comes back, none is opened."""
    one = database(pool_size=1, breaker=False)
    await one.start()
    for _ in range(6):
        left = asyncio.create_task(one.fetch("eu", text("SELECT pg_sleep(0.3)")))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert time.monotonic() - began < 0.1
    await until(lambda: idle(one))
    rows = await one.fetch("eu", CUSTOMER, ME)

    assert rows[0].id == ME["id"]
    assert sum(p.opened for p in one.pool_stats()) == 2
    assert sum(p.discarded for p in one.pool_stats()) == 0


async def test_leaving_a_batch_is_leaving_too(database, until) -> None:
    """A pipelined batch that is cancelled says so, and its connection is replaced."""
    one = database(pool_size=1, breaker=False)
    slow = text(
        "UPDATE stock SET available = available "
        "WHERE crdb_region = 'eu' AND product_id = :p AND pg_sleep(0.2) IS NOT NULL"
    )
    left = asyncio.create_task(one.execute("eu", slow, [{"p": "P0003"}] * 3))
    await asyncio.sleep(0.1)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    await until(lambda: idle(one))
    for _ in range(2):
        await one.fetch("eu", CUSTOMER, ME)


async def test_a_timeout_around_a_statement_is_a_timeout(database, until) -> None:
    """asyncio.timeout sees its own cancellation, not an error of ours."""
    one = database(breaker=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await one.fetch("eu", text("SELECT pg_sleep(0.5)"))
    await until(lambda: idle(one))


async def test_leaving_a_transaction_rolls_it_back(database, until) -> None:
    """Cancelled between or within statements, its writes and locks are gone."""
    one = database(breaker=False)
    before = await available(one)

    async def linger(transaction: Transaction) -> None:
        await transaction.execute(update(stock).where(*P2).values(available=2))
        await transaction.execute(text("SELECT pg_sleep(0.3)"))
        await asyncio.sleep(30)

    for moment in (0.1, 0.5):
        left = asyncio.create_task(one.transaction("eu", linger))
        await asyncio.sleep(moment)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        await until(lambda: idle(one))

    assert await available(one) == before
    assert sum(p.discarded for p in one.pool_stats()) == 0


async def test_a_statement_that_outstays_its_leaver_is_dropped(database, until) -> None:
    """An answer that does not come within two seconds costs the connection."""
    one = database(pool_size=1, breaker=False)
    await one.start()
    left = asyncio.create_task(one.fetch("eu", text("SELECT pg_sleep(6)")))
    await asyncio.sleep(0.05)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    await until(lambda: idle(one))

    assert sum(p.discarded for p in one.pool_stats()) == 1
    await one.fetch("eu", CUSTOMER, ME)
    await one.fetch("eu", CUSTOMER, ME)
