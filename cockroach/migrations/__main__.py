"""`python -m cockroach.migrations`: bring a database to the newest schema, and seed it.

For CockroachDB and for a single PostgreSQL; the embedded cluster migrates itself.
Exit codes: 0 done, 2 usage or environment.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import psycopg
import sqlalchemy as sa

from cockroach import migrations, seed
from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.ddl import Layout
from cockroach.schema.postgres import PostgresLayout
from cockroach.seed.rows import DEFAULT_SEED
from cockroach.topology import PRIMARY, REGIONS, DatabaseTarget, TopologyError

_DRIVERS = {"cockroach": "cockroachdb+psycopg", "postgres": "postgresql+psycopg"}


def _layout(target: DatabaseTarget) -> Layout:
    if target.flavour == "cockroach":
        return CockroachLayout(dbname=target.dbname)
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


def migrate(target: DatabaseTarget, *, seed_with: int | None = None) -> str:
    """Bring the database to the newest revision and return its name.

    With `seed_with` an empty shop gets the seeded rows; one with products is left
    alone, so this may be run again. Raises SQLAlchemy's and psycopg's errors.
    """
    engine = sa.create_engine(_url(target), poolclass=sa.NullPool)
    with engine.connect() as connection:
        migrations.upgrade(connection, _layout(target))
        connection.commit()
    if seed_with is not None:
        with engine.connect() as connection:
            _seed(connection, seed_with)
            connection.commit()
    return migrations.head()


def _seed(connection: sa.Connection, number: int) -> None:
    if connection.execute(sa.text("select 1 from products limit 1")).first():
        return
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    data = seed.generate(number)
    seed.load_global(raw, data)
    for region in REGIONS:
        seed.load_region(raw, data, region)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m cockroach.migrations", description=__doc__
    )
    parser.add_argument("--target", type=Path, required=True, help="a database file")
    parser.add_argument(
        "--seed", type=int, nargs="?", const=DEFAULT_SEED, help="fill an empty shop"
    )
    options = parser.parse_args(arguments)
    try:
        target = DatabaseTarget.load(options.target)
        if target.flavour not in _DRIVERS:
            parser.error("the embedded cluster migrates itself when it starts")
        revision = migrate(target, seed_with=options.seed)
    except (OSError, TopologyError, sa.exc.SQLAlchemyError, psycopg.Error) as error:
        sys.stderr.write(f"migrations: {error}\n")
        return 2
    sys.stdout.write(f"{target.dbname} is at revision {revision}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
