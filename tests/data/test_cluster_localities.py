"""Every locality that can be declared, laid out over the three servers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from cockroach.embedded import EmbeddedCluster
from cockroach.schema.declare import (
    REGION_COLUMN,
    Column,
    ForeignKey,
    Global,
    Index,
    RegionalByRow,
    RegionalByTable,
    SchemaSpec,
    TableSpec,
)
from cockroach.schema.embedded import EmbeddedLayout
from cockroach.topology import REGIONS

# What the shop does not use and the builder has all the same.
SCRATCH = SchemaSpec(
    tables=(
        TableSpec(
            name="rates",
            locality=Global(),
            columns=(Column("id", "text"), Column("percent", "bigint")),
            key=("id",),
            indexes=(Index(name="rates_by_percent", columns=("percent",), buckets=4),),
        ),
        TableSpec(
            name="invoices",
            locality=RegionalByRow(),
            columns=(Column("id", "text"), Column("rate", "text")),
            key=(REGION_COLUMN, "id"),
            foreign_keys=(
                ForeignKey(columns=("rate",), table="rates", referred=("id",)),
            ),
        ),
        TableSpec(
            name="settings",
            locality=RegionalByTable("eu"),
            columns=(Column("name", "text"), Column("rate", "text")),
            key=("name",),
            indexes=(Index(name="settings_by_rate", columns=("rate",)),),
            foreign_keys=(
                ForeignKey(columns=("rate",), table="rates", referred=("id",)),
            ),
        ),
    )
)


@pytest.fixture
def scratch(cluster: EmbeddedCluster) -> Iterator[dict[str, psycopg.Connection[Any]]]:
    """Lay another schema out over the three servers, in databases of its own."""
    admins = {region: cluster.admin_dsn(region) for region in REGIONS}
    made: dict[str, psycopg.Connection[Any]] = {}
    with contextlib.ExitStack() as stack:
        for region, dsn in admins.items():
            session = stack.enter_context(psycopg.connect(dsn, autocommit=True))
            session.execute("create database scratch")
            stack.callback(session.execute, "drop database scratch with (force)")
            there = conninfo.make_conninfo(dsn, dbname="scratch")
            made[region] = psycopg.connect(there, autocommit=True)
            stack.callback(made[region].close)
        for region, session in made.items():
            _dial(session, {r: dsn for r, dsn in admins.items() if r != region})
        for region, session in made.items():
            for statement in EmbeddedLayout(region=region, schema=SCRATCH).create():
                session.execute(statement)
        yield made


def _dial(session: psycopg.Connection[Any], others: dict[str, str]) -> None:
    session.execute("create extension postgres_fdw")
    for region, dsn in others.items():
        parts = conninfo.conninfo_to_dict(dsn)
        server = {"host": parts["host"], "port": parts["port"], "dbname": "scratch"}
        for text, options in (
            ("create server {} foreign data wrapper postgres_fdw options ({})", server),
            (
                "create user mapping for current_user server {} options ({})",
                {"user": parts["user"], "password": parts["password"]},
            ),
        ):
            listed = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.Literal(str(value)))
                for name, value in options.items()
            )
            session.execute(sql.SQL(text).format(sql.Identifier(region), listed))


def test_every_locality_is_laid_out_over_the_servers(
    scratch: dict[str, psycopg.Connection[Any]],
) -> None:
    """One region's table is reached from all; a key of a GLOBAL table is checked."""
    for session in scratch.values():
        session.execute("begin; set local session_replication_role = replica")
        session.execute("insert into glob.rates values ('full', 19)")
        session.execute("commit")
    scratch["us"].execute("insert into settings values ('vat', 'full')")
    scratch["us"].execute("insert into invoices values ('eu', 'one', 'full')")
    for wrong in ("settings values ('x', 'none')", "invoices values ('eu', 'x', 'no')"):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            scratch["us"].execute(f"insert into {wrong}")

    read = {
        region: (
            session.execute("select rate from settings").fetchall(),
            session.execute("select rate from invoices").fetchall(),
        )
        for region, session in scratch.items()
    }
    indexed = {
        region
        for region, session in scratch.items()
        if session.execute(
            "select 1 from pg_indexes where indexname = 'settings_by_rate'"
        ).fetchone()
    }

    assert read == dict.fromkeys(REGIONS, ([("full",)], [("full",)]))
    assert indexed == {"eu"}
    for region, session in scratch.items():
        layout = EmbeddedLayout(region=region, schema=SCRATCH)
        for name in ("settings_by_rate", "rates_by_percent"):
            for statement in (*layout.drop_index(name), *layout.make_index(name)):
                session.execute(statement)
        for statement in layout.drop():
            session.execute(statement)
