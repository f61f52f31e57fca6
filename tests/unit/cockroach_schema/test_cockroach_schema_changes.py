"""Columns and keys that came later: declared, refused, and made of the declaration."""

from __future__ import annotations

from typing import Any

import pytest

from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.declare import (
    REGION_COLUMN,
    Column,
    DeclarationError,
    FormerKey,
    Global,
    RegionalByRow,
    SchemaSpec,
    TableSpec,
)
from cockroach.schema.embedded import EmbeddedLayout
from cockroach.schema.postgres import PostgresLayout

ID = Column("id", "uuid")
PART = Column("part", "bigint", default=0, since="0005")
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a later column of a global table": (
        {"locality": Global(), "key": ("id",), "columns": (ID, PART)},
        "REGIONAL BY ROW tables only",
    ),
    "a later column that rows have no value for": (
        {"columns": (ID, Column("part", "bigint", since="0009"))},
        "give it a default, or let it be null",
    ),
    "a former key without its region": (
        {"former_key": FormerKey(("id",), until="0009")},
        "former primary key .id. does not begin with crdb_region",
    ),
    "a former key of a later column": (
        {
            "columns": (ID, PART),
            "former_key": FormerKey((REGION_COLUMN, "part"), until="0009"),
        },
        "former primary key holds part, which came later",
    ),
    "a key before its column": (
        {
            "columns": (ID, PART),
            "key": (REGION_COLUMN, "id", "part"),
            "former_key": FormerKey((REGION_COLUMN, "id"), until="0005"),
        },
        "which is not there before 0005 is done",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_illegal_change_is_refused(what: str) -> None:
    """Rows that are there, and copies elsewhere, must come along."""
    own: dict[str, Any] = {
        "name": "goods",
        "locality": RegionalByRow(),
        "columns": (ID,),
        "key": (REGION_COLUMN, "id"),
    }
    values, told = WRONG[what]
    with pytest.raises(DeclarationError, match=told):
        SchemaSpec(tables=(TableSpec(**(own | values)),))


def test_a_column_and_a_key_that_came_later_are_not_in_the_first_revision() -> None:
    """A table is made as it was, and changed as its rows were."""
    layouts = (CockroachLayout(), PostgresLayout(), EmbeddedLayout(region="eu"))
    for layout in layouts:
        first = " ".join("\n".join(layout.create("0001")).split())
        between = " ".join("\n".join(layout.create("0005")).split())
        newest = " ".join("\n".join(layout.create()).split())

        assert "shard" not in first
        assert "stock_pkey primary key (crdb_region, product_id)" in first
        assert "shard BIGINT DEFAULT 0 NOT NULL" in between
        assert "stock_pkey primary key (crdb_region, product_id)" in between
        assert "stock_pkey primary key (crdb_region, product_id, shard)" in newest


def test_a_region_changes_its_own_leaf() -> None:
    """The key is the leaf's, and the rows of other regions are theirs to migrate."""
    layout = EmbeddedLayout(region="eu")

    (change,) = layout.set_key("stock", "0005")

    assert change == (
        "alter table stock_eu drop constraint stock_pkey, add constraint stock_pkey "
        "primary key (crdb_region, product_id)"
    )
    assert "stock_eu" == layout.own_rows("stock")


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda one: one.add_column("stock", "colour"), "no column stock.colour"),
        (lambda one: one.drop_column("nothing", "shard"), "no column nothing.shard"),
        (lambda one: one.set_key("orders", "0006"), "no other key of orders"),
    ],
)
def test_a_change_that_was_not_declared_is_refused(ask: Any, told: str) -> None:
    """A revision says nothing of its own."""
    for layout in (CockroachLayout(), PostgresLayout(), EmbeddedLayout(region="eu")):
        with pytest.raises(DeclarationError, match=told):
            list(ask(layout))
