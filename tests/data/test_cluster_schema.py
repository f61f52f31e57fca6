"""Migrations on a real database, and CockroachDB's DDL as PostgreSQL reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import conninfo
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.pool import NullPool

from cockroach import migrations
from cockroach.embedded import EmbeddedCluster
from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.embedded import EmbeddedLayout
from cockroach.schema.postgres import PostgresLayout
from cockroach.schema.tables import shop


def _connect(dsn: str) -> Iterator[Connection]:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(dsn),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


@pytest.fixture
def region_database(cluster: EmbeddedCluster) -> Iterator[Connection]:
    """Work on one region's server; nothing of it is kept."""
    yield from _connect(cluster.admin_dsn("eu"))


@pytest.fixture
def plain_database(cluster: EmbeddedCluster) -> Iterator[Connection]:
    """Work on an empty database of its own."""
    admin = conninfo.make_conninfo(cluster.admin_dsn("asia"), dbname="template1")
    with psycopg.connect(admin, autocommit=True) as session:
        session.execute("create database plain")
    yield from _connect(conninfo.make_conninfo(admin, dbname="plain"))
    with psycopg.connect(admin, autocommit=True) as session:
        session.execute("drop database plain")


def test_the_embedded_schema_goes_down_and_up_again(
    region_database: Connection,
) -> None:
    """Every statement of the layout has its way back."""
    layout = EmbeddedLayout(region="eu")
    before = set(inspect(region_database).get_table_names())
    migrations.downgrade(region_database, layout)
    empty = set(inspect(region_database).get_table_names())
    migrations.upgrade(region_database, layout)
    after = set(inspect(region_database).get_table_names())

    assert empty == {"alembic_version"}
    assert after == before >= {"orders", "stock_eu"}
    assert migrations.current(region_database) == migrations.head()


def test_a_plain_postgresql_takes_the_schema(plain_database: Connection) -> None:
    """One server without regions has every table, and is at the newest revision."""
    migrations.upgrade(plain_database, PostgresLayout())
    migrations.upgrade(plain_database, PostgresLayout())

    assert set(shop.tables) < set(inspect(plain_database).get_table_names())
    assert migrations.current(plain_database) == migrations.head()


def test_the_ddl_of_cockroachdb_is_sound_but_for_its_localities(
    plain_database: Connection,
) -> None:
    """Without LOCALITY and regions, PostgreSQL makes every table and index of it."""
    run = plain_database.exec_driver_sql
    run("create type crdb_internal_region as enum ('us', 'eu', 'asia')")
    for statement in CockroachLayout().create():
        if not statement.startswith("alter database"):
            run(re.sub(r" locality (regional by row|global)$", "", statement))

    made = inspect(plain_database)
    assert set(made.get_table_names()) == set(shop.tables)
    for name, table in shop.tables.items():
        assert [c["name"] for c in made.get_columns(name)] == [c.name for c in table.c]
