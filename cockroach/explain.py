"""Asks a gateway for the plan of a statement, on a connection nobody uses just now.

What only reads is run once more and measured, in a transaction that may not write
and that the server ends in time. Everything else is explained and not run.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from opentelemetry import trace

from cockroach import plan_cockroach, plan_postgres
from cockroach.driver import Connection, StatementAbandonedError
from cockroach.plan_safety import may_run
from cockroach.plan_tree import Plan, PlanError
from cockroach.plans import Planned, PlanPolicy
from cockroach.pools import GatewayPool
from cockroach.spans import Note
from observability import names

# For the trips of BEGIN, EXPLAIN and ROLLBACK, beside the time of the statement.
_TRIPS_S = 0.5
_PLAIN = {
    "postgresql": "EXPLAIN (VERBOSE, FORMAT JSON) ",
    "cockroachdb": "EXPLAIN ",
}
_MEASURED = {
    "postgresql": "EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) ",
    "cockroachdb": "EXPLAIN ANALYZE ",
}
# PostgreSQL: one snapshot and no predicate locks, so that looking at a statement
# makes nobody's transaction conflict.
_BEGIN = {
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "cockroachdb": "BEGIN READ ONLY",
}


async def plan_of(
    planned: Planned, pool: GatewayPool, note: Note, policy: PlanPolicy
) -> Plan | None:
    """Explain a statement with its parameters.

    It is run when it only reads, the policy says so, and it was fast enough to be run
    within `most_s`, or in a quarter of that when no other connection is idle. None
    when none is at all, or the gateway refuses or does not answer within `most_s` and
    half a second.
    """
    session = pool.take_idle()
    if session is None:
        return None
    system = note.decision.attributes[names.DB_SYSTEM]
    driver = session.driver
    measured = policy.analyze and _in_time(planned, pool, policy)
    try:
        async with asyncio.timeout(policy.most_s + _TRIPS_S):
            rows = None
            if measured:
                rows = await _measure(driver, note, planned, system, policy.most_s)
            if rows is None:
                rows = await _ask(driver, note, _PLAIN[system], planned)
    except (psycopg.Error, TimeoutError):
        pool.discard(session)
        return None
    except BaseException:
        pool.discard(session)
        raise
    pool.release(session)
    return _read(rows, planned, system)


def _in_time(planned: Planned, pool: GatewayPool, policy: PlanPolicy) -> bool:
    """Tell whether measuring ends soon enough for those who want the connection."""
    # Around the statement go BEGIN and ROLLBACK, each a trip, over what is slow now.
    trips = 1 if pool.stats().idle else 4
    return planned.elapsed_s * trips < policy.most_s and may_run(planned.text)


async def _measure(
    driver: Connection, note: Note, planned: Planned, system: str, most_s: float
) -> list[Any] | None:
    """Run it and roll back; None when the server refused or ended it."""
    # One trip: without parameters the server takes both at once.
    await _send(
        driver,
        f"{_BEGIN[system]}; SET LOCAL statement_timeout = '{round(most_s * 1e3)}ms'",
    )
    try:
        rows = await _ask(driver, note, _MEASURED[system], planned)
    except psycopg.Error:
        if driver.closed:
            raise
        rows = None
    await _send(driver, "ROLLBACK")
    return rows


async def _ask(
    driver: Connection, note: Note, prefix: str, planned: Planned
) -> list[Any]:
    driver.note = note
    try:
        # A root of its own: it is no part of the request that was slow.
        with trace.use_span(trace.INVALID_SPAN):
            return await _send(driver, prefix + planned.text, planned.params)
    finally:
        driver.note = None


async def _send(driver: Connection, query: str, params: Any = None) -> list[Any]:
    async with driver.cursor() as cursor:
        try:
            await cursor.execute(query, params)
        except StatementAbandonedError:
            # What the driver makes of a cancellation; whoever cancelled must know.
            raise asyncio.CancelledError from None
        return await cursor.fetchall() if cursor.description else []


def _read(rows: list[Any], planned: Planned, system: str) -> Plan | None:
    try:
        if system == "cockroachdb":
            return plan_cockroach.parse(str(row[0]) for row in rows)
        return plan_postgres.parse(rows[0][0], gateway_region=planned.gateway.region)
    except (PlanError, IndexError):
        return None
