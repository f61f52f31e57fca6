"""One declaration, three kinds of database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import UniqueConstraint, bindparam, select
from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

from cockroach import migrations
from cockroach.schema import ddl
from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.ddl import POSTGRESQL
from cockroach.schema.embedded import EmbeddedLayout
from cockroach.schema.postgres import PostgresLayout
from cockroach.schema.tables import orders, shop, stock
from cockroach.topology import REGIONS

GOLDEN = Path(__file__).parent / "cockroachdb.sql"

# The forms of CockroachDB's DDL that may be generated; anything else is a mistake.
FORMS = (
    r'alter database \w+ set primary region "\w+"',
    r'alter database \w+ add region if not exists "\w+"',
    r"create table if not exists \w+ \(.*\) locality (regional by row|global)",
    r"create index if not exists \w+ on \w+ \([\w, ]+( desc)?\)",
)


def test_the_ddl_of_cockroachdb_is_as_reviewed() -> None:
    """What CockroachDB is told stands in a file that people read."""
    statements = CockroachLayout().create()

    assert ";\n\n".join(statements) + ";\n" == GOLDEN.read_text()


@pytest.mark.parametrize("statement", list(CockroachLayout().create()))
def test_every_statement_has_a_form_that_cockroachdb_knows(statement: str) -> None:
    """Each generated statement is one of the documented multi-region forms."""
    flat = " ".join(statement.lower().split())

    assert any(re.fullmatch(form, flat) for form in FORMS)


@pytest.mark.parametrize("table", ddl.regional_tables(), ids=str)
def test_every_regional_key_and_index_starts_with_the_region(table: object) -> None:
    """No lookup, check or index of a REGIONAL table spans regions."""
    found = shop.tables[str(table)]
    keys = [list(found.primary_key.columns)]
    keys += [list(c.columns) for c in found.constraints if _is_unique(c)]
    keys += [list(i.columns) for i in found.indexes]
    keys += [list(c.columns) for c in found.foreign_key_constraints]

    assert {key[0].name for key in keys} == {"crdb_region"}


def _is_unique(constraint: object) -> bool:
    return isinstance(constraint, UniqueConstraint)


def test_a_regions_server_has_its_own_rows_and_foreign_others() -> None:
    """The leaf at home carries the keys under CockroachDB's names."""
    statements = " ; ".join(
        " ".join(s.split()) for s in EmbeddedLayout(region="eu").create()
    )

    assert "create table stock_eu partition of stock ( constraint stock_pkey" in (
        statements
    )
    assert (
        "create foreign table stock_us partition of stock for values in ('us')"
        " server us options (table_name 'stock_us')"
    ) in statements
    assert "references customers_eu (crdb_region, id)" in statements
    assert "create publication" not in statements


def test_only_the_primary_region_publishes_global_tables() -> None:
    """Writes to GLOBAL tables wait where they are made, and are forwarded there."""
    made = {r: " ".join(EmbeddedLayout(region=r).create()) for r in REGIONS}

    assert {r for r in REGIONS if "create publication" in made[r]} == {"us"}
    assert {r for r in REGIONS if "trigger wait_all" in made[r]} == {"us"}
    assert {r for r in REGIONS if "products_forward" in made[r]} == {"eu", "asia"}


def test_a_region_is_compared_as_each_database_needs_it() -> None:
    """Text for PostgreSQL, the uncast enum for CockroachDB."""
    query = select(stock.c.available).where(stock.c.crdb_region == bindparam("r"))

    assert "crdb_region = %(r)s::VARCHAR" in str(query.compile(dialect=POSTGRESQL))
    cockroach = str(query.compile(dialect=CockroachDBDialect_psycopg()))
    assert cockroach.endswith("crdb_region = %(r)s")


def test_every_layout_has_every_table() -> None:
    """No database is a table short."""
    layouts = (CockroachLayout(), PostgresLayout(), EmbeddedLayout(region="asia"))
    for layout in layouts:
        text = "\n".join(layout.create())
        missing = [t for t in shop.tables if not re.search(rf"\b{t} \(", text)]
        assert missing == []
        assert list(layout.drop())


def test_migrations_write_the_same_script_without_a_database() -> None:
    """The offline script holds every statement of the layout and the version."""
    script = migrations.script(CockroachLayout())

    assert all(f"{s};" in script for s in CockroachLayout().create())
    assert migrations.head() in script


def test_orders_are_listed_newest_first_by_an_index() -> None:
    """The order history of a customer needs no sort."""
    (text,) = [
        s
        for s in ddl.indexes(orders, POSTGRESQL, if_not_exists=False)
        if "by_customer" in s
    ]

    assert text.endswith("(crdb_region, customer_id, created_at DESC)")
