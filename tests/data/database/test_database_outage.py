"""The data layer when the database does: latency, dead servers, lost connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg
import pytest
from opentelemetry.trace import SpanKind
from sqlalchemy import bindparam, select, text, update

from cockroach import ids
from cockroach.database import Database, Transaction
from cockroach.embedded import EmbeddedCluster
from cockroach.errors import (
    AmbiguousCommitError,
    DatabaseUnavailableError,
)
from cockroach.outliers import GatewayEjected
from cockroach.schema.tables import customers, stock
from links.process import LinksProcess
from observability import names
from resilience import CallRefused
from resilience.testing import RecordingListener

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


async def test_latency_opens_the_breaker_and_its_end_closes_it(
    database, listener, spans, wan_process: LinksProcess, until
) -> None:
    """Slow calls open it, none is sent while it is open, probes alone close it."""
    one = database()
    await one.start()
    for link in LINKS:
        wan_process.control.toxic_add(link, "latency", attributes={"latency": 300})
    try:
        while one.breaker_state("eu") == "closed":
            await one.fetch("eu", CUSTOMER, ME)
        assert one.suspect("eu")
        spans.clear()
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailableError) as told:
            await one.fetch("eu", CUSTOMER, ME)
        assert time.monotonic() - began < 0.1
        assert (told.value.region, told.value.reason) == ("eu", "breaker_open")
        await until(lambda: listener.transitions().count(("half_open", "open")) >= 1)
        assert one.breaker_state("eu") != "closed"
    finally:
        for link in LINKS:
            wan_process.control.toxic_remove(link, "latency_downstream")
    await until(lambda: one.breaker_state("eu") == "closed")
    rounds = listener.transitions().count(("open", "half_open"))
    sent = [span for span in spans.get_finished_spans() if span.kind == CLIENT]
    assert len(sent) == 2 * rounds
    assert all((span.attributes or {})[names.DB_PROBE] for span in sent)
    await one.fetch("eu", CUSTOMER, ME)

    assert listener.transitions()[0] == ("closed", "open")
    assert listener.transitions()[-1] == ("half_open", "closed")
    assert listener.of(CallRefused)
    assert not one.suspect("eu")
    assert sum(p.discarded for p in one.pool_stats()) == 0


async def _outage(
    cluster: EmbeddedCluster, during: Callable[[], Awaitable[None]]
) -> None:
    await asyncio.to_thread(cluster.kill_region, "eu")
    try:
        await during()
    finally:
        await asyncio.to_thread(cluster.restart_region, "eu")


async def test_a_dead_server_is_unavailable_not_a_hang(
    database, cluster, until
) -> None:
    """Statements in flight and new ones are told at once; all heals by itself."""
    one = database()
    await one.start()
    reading = asyncio.create_task(one.fetch("eu", text("SELECT pg_sleep(20)")))
    writing = asyncio.create_task(
        one.execute(
            "eu",
            text("UPDATE stock SET available = available WHERE pg_sleep(20) IS NULL"),
        )
    )
    await asyncio.sleep(0.2)

    async def during() -> None:
        async with asyncio.timeout(8):
            with pytest.raises(DatabaseUnavailableError):
                await reading
            with pytest.raises(AmbiguousCommitError):
                await writing
            for _ in range(6):
                with pytest.raises(DatabaseUnavailableError):
                    await one.fetch("eu", CUSTOMER, ME)
        assert one.suspect("eu")

    await _outage(cluster, during)
    await until(lambda: one.breaker_state("eu") == "closed")

    assert (await one.fetch("eu", CUSTOMER, ME))[0].id == ME["id"]
    await until(lambda: [p.idle for p in one.pool_stats()] == [2, 2])


async def test_starting_without_a_database_says_so(database, cluster) -> None:
    """A warm start raises when the region's gateways do not let us in."""
    one = database()

    async def during() -> None:
        async with asyncio.timeout(8):
            with pytest.raises(DatabaseUnavailableError):
                await one.start()

    await _outage(cluster, during)


async def test_one_dead_gateway_is_passed_by(
    database, wan_process: LinksProcess
) -> None:
    """With one of two gateways refusing, reads go on over the other."""
    one = database(breaker=False)
    await one.start()
    wan_process.control.disable("sql-eu-to-eu-a")
    try:
        for _ in range(10):
            await one.fetch("eu", CUSTOMER, ME)
    finally:
        wan_process.control.enable("sql-eu-to-eu-a")


async def test_one_slow_gateway_sits_out_and_the_breaker_stays_closed(
    database, listener, spans, wan_process: LinksProcess
) -> None:
    """The gateways of a region are judged apart: the sound one takes the work."""
    one = database()
    await one.start()
    for _ in range(4):
        await one.fetch("eu", CUSTOMER, ME)
    slow = "sql-eu-to-eu-a"
    wan_process.control.toxic_add(slow, "latency", attributes={"latency": 300})
    try:
        await until_ejected(one, listener)
        spans.clear()
        for _ in range(10):
            await one.fetch("eu", CUSTOMER, ME)
    finally:
        wan_process.control.toxic_remove(slow, "latency_downstream")
    assert one.breaker_state("eu") == "closed"
    assert {each.gateway for each in listener.of(GatewayEjected)} == {"eu-a"}
    told = [span.attributes or {} for span in spans.get_finished_spans()]
    assert {each[names.GATEWAY_NAME] for each in told} == {"eu-b"}
    assert "avoids_outlier" in {each[names.BALANCER_REASON] for each in told}


async def until_ejected(one: Database, listener: RecordingListener) -> None:
    async with asyncio.timeout(10):
        while not listener.of(GatewayEjected):
            await one.fetch("eu", CUSTOMER, ME)


async def test_a_connection_lost_before_commit_is_retried(database, cluster) -> None:
    """The server ends our session in a transaction: the whole runs again."""
    one = database(breaker=False)
    before = await available(one)
    runs = 0

    async def take(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        await transaction.execute(
            update(stock).where(*P2).values(available=stock.c.available - 1)
        )
        if runs == 1:
            pid = (await transaction.fetch(text("SELECT pg_backend_pid()")))[0][0]
            with psycopg.connect(cluster.admin_dsn("eu"), autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        await transaction.fetch(text("SELECT 1"))

    await one.transaction("eu", take)

    assert runs == 2
    assert await available(one) == before - 1


async def test_a_connection_lost_during_commit_is_ambiguous(
    database, wan_process: LinksProcess
) -> None:
    """COMMIT was sent and nothing came back: it is said, never guessed."""
    one = database(breaker=False)
    runs = 0

    async def take(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        await transaction.execute(
            update(stock).where(*P2).values(available=stock.c.available)
        )
        for link in LINKS:
            wan_process.control.toxic_add(link, "timeout", attributes={"timeout": 100})

    try:
        with pytest.raises(AmbiguousCommitError):
            async with asyncio.timeout(8):
                await one.transaction("eu", take)
    finally:
        for link in LINKS:
            wan_process.control.toxic_remove(link, "timeout_downstream")

    assert runs == 1
