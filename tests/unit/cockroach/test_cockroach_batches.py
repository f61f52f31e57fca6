"""Statements of many rows, as both databases get them."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

from cockroach.batches import any_of, insert_many
from cockroach.schema.tables import cart_keys, reservations, stock

DIALECTS = [postgresql.psycopg.dialect(), CockroachDBDialect_psycopg()]


def text(statement, dialect) -> str:
    return " ".join(str(statement.compile(dialect=dialect)).split())


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_one_statement_without_returning(dialect) -> None:
    """Arrays in, rows out, whatever their number; the key is never a target."""
    made = text(insert_many(stock, unless_there=True).statement, dialect)

    region = "TEXT" if dialect.name == "postgresql" else "crdb_internal_region"
    assert made == (
        "INSERT INTO stock (crdb_region, product_id, available, shard) "
        f"SELECT CAST(given.crdb_region AS {region}) AS crdb_region, "
        "given.product_id, given.available, given.shard "
        "FROM unnest(%(crdb_region)s::TEXT[], %(product_id)s::TEXT[], "
        "%(available)s::BIGINT[], %(shard)s::BIGINT[]) "
        "AS given(crdb_region, product_id, available, shard) "
        "ON CONFLICT DO NOTHING"
    )


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_many_keys_are_one_parameter(dialect) -> None:
    """However many keys there are, the statement and its plan are the same."""
    made = text(
        select(stock.c.available).where(any_of(stock.c.product_id, "products")), dialect
    )

    assert made.endswith("WHERE stock.product_id = ANY (%(products)s::TEXT[])")


def test_rows_become_columns() -> None:
    """Each parameter has the values of a column, part by part."""
    batch = insert_many(cart_keys, ["crdb_region", "idem_key"])
    rows = [{"crdb_region": "eu", "idem_key": str(n)} for n in range(5)]

    assert batch.params(rows[:2]) == {
        "crdb_region": ["eu", "eu"],
        "idem_key": ["0", "1"],
    }
    assert [2, 2, 1] == [len(p["idem_key"]) for p in batch.parts(rows, at_most=2)]


def test_a_row_must_fit() -> None:
    """A missing or odd column is said before anything is sent."""
    batch = insert_many(cart_keys, ["crdb_region", "idem_key"])
    with pytest.raises(KeyError):
        batch.params([{"crdb_region": "eu"}])
    with pytest.raises(ValueError, match="no column of this batch: price"):
        batch.params([{"crdb_region": "eu", "idem_key": "k", "price": 1}])


def test_json_cannot_be_unnested() -> None:
    """CockroachDB has no arrays of JSON, so nobody may come to rely on them."""
    with pytest.raises(TypeError, match=r"reservations\.lines"):
        insert_many(reservations)
