"""Asks a gateway for the plan of a statement, on a connection nobody uses just now."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from opentelemetry import trace

from cockroach.driver import Connection, StatementAbandonedError
from cockroach.plans import Planned, redact
from cockroach.pools import GatewayPool
from cockroach.spans import Note
from observability import names

_MOST_S = 1.5
_PREFIX = {
    "postgresql": "EXPLAIN (VERBOSE, COSTS OFF) ",
    "cockroachdb": "EXPLAIN ",
}


async def plan_of(planned: Planned, pool: GatewayPool, note: Note) -> str | None:
    """Explain a statement with its parameters, without running it.

    The plan names tables, indexes and regions, no other values. None when no
    connection is idle or the gateway does not answer within 1.5 s.
    """
    session = pool.take_idle()
    if session is None:
        return None
    prefix = _PREFIX[note.decision.attributes[names.DB_SYSTEM]]
    driver = session.driver
    driver.note = note
    try:
        async with asyncio.timeout(_MOST_S):
            rows = await _ask(driver, prefix + planned.text, planned.params)
    except (psycopg.Error, TimeoutError):
        pool.discard(session)
        return None
    except BaseException:
        pool.discard(session)
        raise
    finally:
        driver.note = None
    pool.release(session)
    return redact([str(row[0]) for row in rows])


async def _ask(driver: Connection, query: str, params: Any) -> list[Any]:
    # A root of its own: it is no part of the request that was slow.
    with trace.use_span(trace.INVALID_SPAN):
        async with driver.cursor() as cursor:
            try:
                await cursor.execute(query, params)
            except StatementAbandonedError:
                # What the driver makes of a cancellation; whoever cancelled must know.
                raise asyncio.CancelledError from None
            return await cursor.fetchall()
