"""The SQL that makes one logical database out of three servers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import conninfo, sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from cockroach import migrations
from cockroach.embedded.errors import EmbeddedError
from cockroach.embedded.server import Server
from cockroach.embedded.settings import (
    ADMIN,
    APP,
    DBNAME,
    LOCK_TIMEOUT_S,
    REPLICATION,
    STATEMENT_TIMEOUT_S,
    standby_name,
)
from cockroach.embedded.state import Secrets
from cockroach.embedded.wan import Wan, fdw_name, replication_name
from cockroach.schema.embedded import PUBLICATION, EmbeddedLayout
from cockroach.seed import SeedData, load_global, load_region
from cockroach.topology import PRIMARY, REGIONS

Session = psycopg.Connection[tuple[Any, ...]]

_READ_WRITE = "select, insert, update, delete"
STANDBYS = tuple(region for region in REGIONS if region != PRIMARY)
_SERVER_OPTIONS = {
    "dbname": DBNAME,
    "connect_timeout": "5",
    # The wheel has no TLS; asking for it costs a round trip each.
    "sslmode": "disable",
    "gssencmode": "disable",
    "async_capable": "true",
    "parallel_commit": "true",
    "fetch_size": "1000",
    "batch_size": "200",
    # Makes the planner prefer one pushed-down join to many small scans.
    "fdw_startup_cost": "10000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One region's server with what is needed to talk to it as administrator."""

    server: Server
    secrets: Secrets
    major: int

    @property
    def region(self) -> str:
        """The region it is the home of."""
        return self.server.region

    def dsn(self, dbname: str = DBNAME) -> str:
        """Give the address of the server itself, past every link, as superuser."""
        return conninfo.make_conninfo(
            host="127.0.0.1",
            port=self.server.port,
            dbname=dbname,
            user=ADMIN,
            password=self.secrets.admin,
            application_name="seawall-admin",
            sslmode="disable",
            gssencmode="disable",
            connect_timeout=5,
        )

    def connect(self, dbname: str = DBNAME) -> Session:
        """Open an administrator's session that commits every statement."""
        session = psycopg.connect(self.dsn(dbname), autocommit=True)
        # What is lost with the machine while it is being built is built again.
        session.execute("set synchronous_commit = off")
        return session


def make_database(site: Site, wan: Wan) -> None:
    """Make roles, database, extensions and the ways to the other regions."""
    with site.connect("template1") as session:
        # The one that initdb made is empty, and making another takes long.
        session.execute(f"alter database postgres rename to {DBNAME}")
        for role, password, extra in (
            (APP, site.secrets.app, "nosuperuser"),
            (REPLICATION, site.secrets.replication, "replication"),
        ):
            session.execute(
                sql.SQL("create role {} login {} password {}").format(
                    sql.Identifier(role), sql.SQL(extra), password
                )
            )
        for setting in (
            "default_transaction_isolation = 'serializable'",
            f"statement_timeout = '{STATEMENT_TIMEOUT_S}s'",
            f"lock_timeout = '{LOCK_TIMEOUT_S}s'",
        ):
            session.execute(sql.SQL(f"alter role {APP} set {setting}"))
    with site.connect() as session:
        session.execute("create extension postgres_fdw")
        session.execute("create extension pg_stat_statements")
        for other in REGIONS:
            if other != site.region:
                _make_foreign_server(session, site, wan, other)


def _make_foreign_server(session: Session, site: Site, wan: Wan, other: str) -> None:
    host, port = wan.listen[fdw_name(site.region, other)]
    options = {"host": host, "port": str(port), **_SERVER_OPTIONS}
    options["application_name"] = f"gateway-{site.region}"
    if site.major >= 16:
        options["parallel_abort"] = "true"
    listed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(k), sql.Literal(v))
        for k, v in options.items()
    )
    session.execute(
        sql.SQL(
            "create server {} foreign data wrapper postgres_fdw options ({})"
        ).format(sql.Identifier(other), listed)
    )
    # At the far end nobody is more than the application, the administrator included.
    for local in (APP, ADMIN):
        session.execute(
            sql.SQL(
                "create user mapping for {} server {} options (user {}, password {})"
            ).format(
                sql.Identifier(local),
                sql.Identifier(other),
                sql.Literal(APP),
                sql.Literal(site.secrets.app),
            )
        )


def migrate(site: Site) -> None:
    """Bring the schema to the newest revision and let the application use it."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(site.dsn()),
        poolclass=NullPool,
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("set local synchronous_commit = off")
        migrations.upgrade(connection, EmbeddedLayout(region=site.region))
        schemas = "public, glob" + ("" if site.region == PRIMARY else ", globw")
        for statement in (
            f"grant usage on schema {schemas} to {APP}",
            f"grant {_READ_WRITE} on all tables in schema {schemas} to {APP}",
            f"revoke insert, update, delete on alembic_version from {APP}",
            f"grant usage on schema glob to {REPLICATION}",
            f"grant select on all tables in schema glob to {REPLICATION}",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()


def subscribe(site: Site, primary: Site, wan: Wan) -> None:
    """Follow the GLOBAL tables: the slot is made directly, the stream takes the WAN."""
    name = sql.Identifier(standby_name(site.region))
    direct = _stream_dsn(site, "127.0.0.1", primary.server.port)
    options = "copy_data = false, enabled = false, synchronous_commit = 'local'"
    options += ", streaming = off"
    if site.major >= 16:
        options += ", origin = none"
    with site.connect() as session:
        session.execute(
            sql.SQL(
                "create subscription {} connection {} publication {} with ({})"
            ).format(
                name,
                sql.Literal(direct),
                sql.Identifier(PUBLICATION),
                sql.SQL(options),
            )
        )
        _point_stream(session, site, wan)
        session.execute(sql.SQL("alter subscription {} enable").format(name))


def rewire(site: Site, wan: Wan) -> None:
    """Point an existing server at the links of this start."""
    with site.connect() as session:
        for other in REGIONS:
            if other == site.region:
                continue
            host, port = wan.listen[fdw_name(site.region, other)]
            session.execute(
                sql.SQL("alter server {} options (set host {}, set port {})").format(
                    sql.Identifier(other), sql.Literal(host), sql.Literal(str(port))
                )
            )
        if site.region != PRIMARY:
            _point_stream(session, site, wan)


def _point_stream(session: Session, site: Site, wan: Wan) -> None:
    host, port = wan.listen[replication_name(site.region)]
    session.execute(
        sql.SQL("alter subscription {} connection {}").format(
            sql.Identifier(standby_name(site.region)),
            sql.Literal(_stream_dsn(site, host, port)),
        )
    )


def _stream_dsn(site: Site, host: str, port: int) -> str:
    return conninfo.make_conninfo(
        host=host,
        port=port,
        dbname=DBNAME,
        user=REPLICATION,
        password=site.secrets.replication,
        application_name=standby_name(site.region),
        sslmode="disable",
        gssencmode="disable",
        connect_timeout=10,
    )


def seed(site: Site, data: SeedData) -> None:
    """Copy the region's rows into its leaves, GLOBAL ones where they are written."""
    with site.connect() as session, session.transaction():
        # The rows are right by construction; their foreign keys need no check.
        session.execute("set local session_replication_role = replica")
        load_region(session, data, site.region, suffix=f"_{site.region}")
        if site.region == PRIMARY:
            load_global(session, data, schema="glob")
    with site.connect() as session:
        leaves = ", ".join(f"{name}_{site.region}" for name in data.regional["us"])
        session.execute(f"analyze {leaves}")


def wait_for_standbys(primary: Site, timeout: float = 20.0) -> None:
    """Wait until every region follows the primary and has applied all it wrote.

    Raises EmbeddedError.
    """
    names = [standby_name(region) for region in STANDBYS]
    deadline = time.monotonic() + timeout
    with primary.connect() as session:
        row = session.execute("select pg_current_wal_lsn()").fetchone()
        target = row[0] if row else None
        while True:
            row = session.execute(
                "select count(*) from pg_stat_replication where state = 'streaming' "
                "and application_name = any(%s) and replay_lsn >= %s::pg_lsn",
                (names, target),
            ).fetchone()
            if row and row[0] == len(names):
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"the GLOBAL tables did not reach every region in {timeout:.0f} s"
                )
            time.sleep(0.02)


def wait_for_setting(primary: Site, timeout: float = 5.0) -> None:
    """Wait until the primary waits for its standbys. Raises EmbeddedError."""
    deadline = time.monotonic() + timeout
    with primary.connect() as session:
        while time.monotonic() < deadline:
            row = session.execute(
                "select count(*) from pg_stat_replication where sync_state = 'sync'"
            ).fetchone()
            if row and row[0] == len(STANDBYS):
                return
            time.sleep(0.01)
    raise EmbeddedError("the primary does not wait for the other regions")
