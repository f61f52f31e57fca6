"""How many ranges the tables that orders write to have, before a peak and after it.

CockroachDB only: no other database of ours has ranges. The statement has been checked
against its documentation and not been run.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from chaos import checks
from chaos.checks import Bounds, Check, RangeCount, Scene
from chaos.journeys import CHECKOUT

DATABASE = "cockroach"
# Every order adds rows to these.
TABLES = ("orders", "order_items", "reservations", "payments", "ledger_entries")
BEGAN, ENDS = "fault_began", "fault_ends"


def statement(table: str) -> str:
    """Write the statement that counts the ranges of a table and of its indexes."""
    return f"SELECT count(*) FROM [SHOW RANGES FROM TABLE {table}]"  # noqa: S608 - our own names


def count(admin: Mapping[str, str], moment: str) -> list[RangeCount]:
    """Ask the database of any region. Raises psycopg.Error."""
    dsn = next(iter(admin.values()))
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = []
        for table in TABLES:
            row = connection.execute(statement(table).encode()).fetchone()
            number = int(row[0]) if row else 0
            found.append(RangeCount(moment=moment, table=table, count=number))
        return found


def ranges_split_at_peak(scene: Scene, bounds: Bounds) -> Check:
    """Show that ranges of the tables that orders write to are split at the peak."""
    began, ends = _whole(scene, BEGAN), _whole(scene, ENDS)
    check = checks.at_least(
        "ranges_split_at_peak",
        ends - began,
        bounds["at_least"],
        f"ranges more at the end of the peak, of {began} before it",
        _slowest(scene),
    )
    return check if began else checks.unproven(check, "ranges were not counted")


def ranges_were_split_before(scene: Scene, bounds: Bounds) -> Check:
    """Hold that no range is split at the peak, since there were enough before it."""
    began, ends = _whole(scene, BEGAN), _whole(scene, ENDS)
    check = checks.at_most(
        "ranges_were_split_before",
        ends - began,
        bounds["at_most"],
        f"ranges more at the end of the peak, of {began} before it",
        _slowest(scene),
    )
    least = int(bounds["ranges_at_least"])
    if began < least or not ends:
        return checks.unproven(check, f"{began} ranges before it, {least} are needed")
    return check


def _whole(scene: Scene, moment: str) -> int:
    return sum(one.count for one in scene.ranges if one.moment == moment)


def _slowest(scene: Scene) -> list[str]:
    during = scene.timeline.during
    found = [
        one
        for one in scene.journeys
        if one.journey == CHECKOUT and during.since_s <= one.intended_s < during.until_s
    ]
    return [one.trace_id for one in sorted(found, key=lambda one: -one.latency_ms)]
