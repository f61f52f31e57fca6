"""`python -m cockroach.migrations`: bring a database to a schema, and seed it.

For CockroachDB and for a single PostgreSQL; the embedded cluster migrates itself.
Exit codes: 0 done, 2 usage or environment, a schema newer than ours included.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import psycopg
import sqlalchemy as sa

from cockroach import migrations, seed
from cockroach.schema.cockroachdb import CockroachLayout, Survival
from cockroach.schema.ddl import Layout
from cockroach.schema.declare import DeclarationError
from cockroach.schema.postgres import PostgresLayout
from cockroach.seed.rows import DEFAULT_SEED
from cockroach.topology import PRIMARY, REGIONS, DatabaseTarget, TopologyError

_DRIVERS = {"cockroach": "cockroachdb+psycopg", "postgres": "postgresql+psycopg"}


def _layout(target: DatabaseTarget, survival: Survival) -> Layout:
    if target.flavour == "cockroach":
        return CockroachLayout(dbname=target.dbname, survival=survival)
    return PostgresLayout()


def _url(target: DatabaseTarget) -> sa.URL:
    gateway = (target.in_region(PRIMARY) or target.gateways)[0]
    return sa.URL.create(
        _DRIVERS[target.flavour],
        username=target.user,
        password=target.password or None,
        host=gateway.host,
        port=gateway.port,
        database=target.dbname,
        query=dict(target.options),
    )


def _engine(target: DatabaseTarget) -> sa.Engine:
    # CockroachDB takes one schema change a transaction; a transaction around it is
    # ended behind our back, or refused for a table whose schema is locked.
    alone = {"isolation_level": "AUTOCOMMIT"} if target.flavour == "cockroach" else {}
    return sa.create_engine(_url(target), poolclass=sa.NullPool, **alone)


def migrate(
    target: DatabaseTarget,
    *,
    seed_with: int | None = None,
    to: str | None = None,
    survival: Survival | None = None,
    presplit_days: int | None = None,
) -> str:
    """Bring the database to a revision, the newest by default, and return its name.

    With `seed_with` an empty shop gets the seeded rows; one with products is left
    alone, so this may be run again. `survival` and `presplit_days` are CockroachDB's:
    the database's survival goal (`zone` for a new one), and for how long the key
    ranges are cut at their declared points.
    Raises NewerSchemaError, DeclarationError, SQLAlchemy's and psycopg's errors.
    """
    layout = _layout(target, survival or "zone")
    first: list[str] = []
    last: list[str] = []
    if isinstance(layout, CockroachLayout):
        if survival is not None:
            first = list(layout.database())
        if presplit_days is not None:
            last = list(layout.presplit(presplit_days))
    elif survival is not None or presplit_days is not None:
        raise DeclarationError(
            "survival goals and splits are CockroachDB's; PostgreSQL has neither"
        )
    engine = _engine(target)
    with engine.connect() as connection:
        revision = _move(connection, layout, to, first)
        _run(connection, last)
        connection.commit()
    if seed_with is not None:
        with engine.connect() as connection:
            _seed(connection, seed_with)
            connection.commit()
    return revision


def _move(
    connection: sa.Connection, layout: Layout, to: str | None, first: Iterable[str]
) -> str:
    known = migrations.revisions()
    wanted = known[-1] if to is None else to
    if wanted not in known:
        raise DeclarationError(
            f"there is no revision {wanted}: expected one of {', '.join(known)}"
        )
    found = migrations.current(connection)
    if found in known and known.index(found) > known.index(wanted):
        migrations.downgrade(connection, layout, wanted)
        return wanted
    if found is None or found in known:
        _run(connection, first)
    migrations.upgrade(connection, layout, wanted)
    return wanted


def _run(connection: sa.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def _seed(connection: sa.Connection, number: int) -> None:
    if connection.execute(sa.text("select 1 from products limit 1")).first():
        return
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    data = seed.generate(number)
    seed.load_global(raw, data)
    for region in REGIONS:
        seed.load_region(raw, data, region)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cockroach.migrations", description=__doc__
    )
    parser.add_argument("--target", type=Path, required=True, help="a database file")
    parser.add_argument(
        "--seed", type=int, nargs="?", const=DEFAULT_SEED, help="fill an empty shop"
    )
    parser.add_argument("--to", help="this revision, forwards or back; the newest")
    parser.add_argument(
        "--survive",
        choices=("zone", "region"),
        help="CockroachDB: what the database survives the loss of",
    )
    parser.add_argument(
        "--presplit-days",
        type=int,
        help="CockroachDB: cut the key ranges now, for so many days",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do it."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        target = DatabaseTarget.load(options.target)
        if target.flavour not in _DRIVERS:
            parser.error("the embedded cluster migrates itself when it starts")
        revision = migrate(
            target,
            seed_with=options.seed,
            to=options.to,
            survival=options.survive,
            presplit_days=options.presplit_days,
        )
    except (
        OSError,
        TopologyError,
        DeclarationError,
        migrations.NewerSchemaError,
        sa.exc.SQLAlchemyError,
        psycopg.Error,
    ) as error:
        sys.stderr.write(f"migrations: {error}\n")
        return 2
    sys.stdout.write(f"{target.dbname} is at revision {revision}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
