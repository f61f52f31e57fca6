"""Asks a gateway for the plan of a statement, on a connection nobody uses just now."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from opentelemetry import trace

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
    query = prefix + planned.text
    driver = session.driver
    driver.note = note
    # A root of its own: it is no part of the request that was slow.
    root = trace.use_span(trace.INVALID_SPAN)
    try:
        with root:
            async with asyncio.timeout(_MOST_S), driver.cursor() as cursor:
                await cursor.execute(query, planned.params)
                rows: list[Any] = await cursor.fetchall()
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
