"""What the spans of statements are named, and what they never say."""

from __future__ import annotations

import uuid

import pytest

from cockroach.spans import load_key
from cockroach.statements import describe, writes
from observability import names


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("SELECT orders.id FROM orders WHERE x = 1", "SELECT orders"),
        ("INSERT INTO orders (id) VALUES (1)", "INSERT orders"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING", "INSERT t"),
        ("UPDATE stock SET available = 1", "UPDATE stock"),
        ("DELETE FROM cart_items WHERE x = 1", "DELETE cart_items"),
        ("SELECT 1", "SELECT"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        (
            "SELECT o.id FROM orders AS o JOIN order_items AS i ON i.order_id = o.id",
            "SELECT orders order_items",
        ),
        ("SELECT id FROM orders FOR UPDATE SKIP LOCKED", "SELECT orders"),
        ("SELECT a FROM unnest(%(a)s) AS x(a)", "SELECT"),
        ("SELECT a FROM t WHERE a IS DISTINCT FROM b", "SELECT t"),
        (
            (
                "WITH taken AS (UPDATE stock SET available = 0 RETURNING product_id) "
                "INSERT INTO reservations (lines) SELECT product_id FROM taken"
            ),
            "UPDATE stock INSERT reservations",
        ),
        ("select 1 from glob.products", "SELECT glob.products"),
    ],
)
def test_summaries(text, summary) -> None:
    """A summary has operations and tables in order, without CTEs and functions."""
    assert summary == describe(text)[0]


def test_the_first_table_is_the_collection() -> None:
    """db.collection.name and db.operation.name follow the statement."""
    _, told = describe("UPDATE stock SET available = 1")

    assert (told[names.DB_OPERATION], told[names.DB_COLLECTION]) == ("UPDATE", "stock")


def test_what_counts_as_a_write() -> None:
    """A plain SELECT writes nothing, a CTE with an UPDATE does."""
    assert not writes("SELECT updated_at FROM orders")
    assert writes("WITH x AS (UPDATE t SET a = 1 RETURNING a) SELECT a FROM x")


def test_identical_loads_have_one_key() -> None:
    """Equal parameters give equal keys, others do not, and values do not show."""
    one, other = uuid.UUID(int=1), uuid.UUID(int=2)

    assert load_key(None, {"id": one}) == load_key(None, {"id": one})
    assert load_key(None, {"id": one}) != load_key(None, {"id": other})
    assert "tok_visa" not in load_key(None, {"card": "tok_visa"})
    assert load_key("front page", {"id": one}) == "front page"
    assert load_key(None, None) == "-"
