"""Statements that must find their row by its key, whatever else is indexed."""

from typing import Any

import psycopg
import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import Update

from cockroach.embedded import EmbeddedCluster
from services.orders import intake_statements, statements

_VALUES: dict[str, Any] = {
    "region": "eu",
    "order": "00000000-0000-4000-8000-000000000000",
    "id": "00000000-0000-4000-8000-000000000000",
    "new_state": "confirmed",
    "new_body": "{}",
    "reason": "",
    "expected": ["accepted"],
    "now": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        (statements.MOVE, "orders_pkey"),
        (intake_statements.SETTLE, "intake_pkey"),
    ],
)
def test_an_order_is_found_by_its_key(
    cluster: EmbeddedCluster, statement: Update, key: str
) -> None:
    """A look at the index on states would conflict with every order accepted."""
    compiled = statement.compile(dialect=PGDialect_psycopg())
    values = {
        **compiled.params,
        **{n: _VALUES[n] for n in compiled.params if n in _VALUES},
    }
    with psycopg.connect(cluster.admin_dsn("eu")) as session:
        # The table is small and the region's own; an index is asked for all the same.
        session.execute("set enable_seqscan = off")
        plan = session.execute(f"explain {compiled}", values).fetchall()

    used = [line.split(" using ")[1] for (line,) in plan if " using " in line]
    assert [one.split()[0] for one in used] == [key]
