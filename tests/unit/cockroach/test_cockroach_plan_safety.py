"""EXPLAIN ANALYZE runs a statement: only what reads may be run."""

from __future__ import annotations

import pytest

from cockroach.plan_safety import may_run

READS = [
    "SELECT name FROM customers WHERE id = %(id)s::UUID",
    "  select count(*), max(a), coalesce(b, %(c)s::VARCHAR(20)) from t group by 1",
    "WITH page AS (SELECT id FROM orders LIMIT 3) SELECT * FROM page",
    "SELECT * FROM unnest(%(a)s::TEXT[], %(b)s::INT[]) AS anon_1(x, y)",
    "SELECT 1 WHERE (a, b) IN ((1, 2)) AND EXISTS (SELECT 1)",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM t",
]
WRITES = [
    "UPDATE stock SET available = 1",
    "INSERT INTO t VALUES (1)",
    "DELETE FROM t",
    "WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone",
    "SELECT * FROM stock FOR UPDATE",
    "SELECT * FROM stock FOR NO KEY UPDATE SKIP LOCKED",
    "SELECT * FROM stock FOR SHARE",
    "SELECT * FROM stock FOR KEY SHARE",
    "SELECT * INTO copy FROM stock",
    "SELECT nextval('s')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_sleep (5)",
    "SELECT pg_catalog.pg_sleep(5)",
    "SELECT mine.count(1)",
    "SELECT mine . count(1)",
    'SELECT "pg_sleep"(5)',
    'SELECT U&"pg_\\0073leep"(5)',
    "SELECT pg_sleep/**/(5)",
    "SELECT pg_sleep -- why\n(5)",
    "SELECT 1; DROP TABLE t",
    "SELECT $$a$$",
    "VALUES (1)",
    "CALL work()",
    "BEGIN",
    "EXPLAIN ANALYZE DELETE FROM t",
    "",
]


@pytest.mark.parametrize("text", READS)
def test_what_reads_may_be_run(text: str) -> None:
    """A SELECT with the database's own functions changes nothing."""
    assert may_run(text)


@pytest.mark.parametrize("text", WRITES)
def test_what_writes_or_cannot_be_told_is_not_run(text: str) -> None:
    """Writes, locks, foreign functions and second statements are explained only."""
    assert not may_run(text)
