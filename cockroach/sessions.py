"""Database sessions: opening, looking at, and closing one connection of one gateway.

Every session is a SQLAlchemy connection in driver-level autocommit that stays open
from one use to the next; pools hand them out, they never share one.
"""

from __future__ import annotations

import asyncio
import select
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from cockroach.driver import Connection, Cursor, connection_class
from cockroach.sqlstates import refused
from cockroach.topology import DatabaseTarget, Gateway, Replica

# Sessions of every gateway come from one engine: they share the dialect and the
# compiled statements, and the server's version is asked for once.
_gateway: ContextVar[Gateway] = ContextVar("gateway")

# Set by the session, so that a plain PostgreSQL behaves like the shop's cluster.
_OPTIONS = (
    "-c default_transaction_isolation=serializable"
    " -c statement_timeout=15000 -c lock_timeout=3000"
    # A client that went away in the middle holds its locks for no longer.
    " -c idle_in_transaction_session_timeout=30000"
)


class Session:
    """One open connection; `expires_at` is when its pool replaces it.

    `idle_since` is when its pool last had it back.
    """

    __slots__ = (
        "_poll",
        "connection",
        "driver",
        "expires_at",
        "gateway",
        "idle_since",
    )

    def __init__(
        self,
        gateway: Gateway,
        connection: AsyncConnection,
        driver: Connection,
        expires_at: float,
    ) -> None:
        self.gateway = gateway
        self.connection = connection
        self.driver = driver
        self.expires_at = expires_at
        self.idle_since = 0.0
        self._poll: Any = select.poll()
        self._poll.register(driver.pgconn.socket, select.POLLIN)

    def __repr__(self) -> str:
        state = self.driver.info.transaction_status.name.lower()
        return f"<Session {self.gateway.name} {state}>"

    @property
    def usable(self) -> bool:
        """Tell, without asking the server, whether the session can be used.

        A server that went away has closed the socket, which makes it readable.
        """
        pgconn = self.driver.pgconn
        if pgconn.status != 0 or pgconn.transaction_status != 0:
            return False
        if self._poll.poll(0):
            try:
                pgconn.consume_input()
            except Exception:  # noqa: BLE001 - whatever it says, it is not usable
                return False
            return bool(pgconn.status == 0)
        return True

    async def close(self) -> None:
        """Close politely when idle, at once when not."""
        driver = self.driver
        if driver.pgconn.transaction_status != 0:
            driver.pgconn.finish()
        with suppress(Exception):
            if driver.closed:
                await self.connection.invalidate()
            await self.connection.close()


class SessionFactory:
    """Opens sessions to the gateways of one target."""

    def __init__(
        self, target: DatabaseTarget, *, application: str, connect_timeout_s: float = 10
    ) -> None:
        first = target.gateways[0]
        crdb = target.flavour == "cockroach"
        url = URL.create(
            "cockroachdb+psycopg" if crdb else "postgresql+psycopg",
            username=target.user,
            password=target.password or None,
            host=first.host,
            port=first.port,
            database=target.dbname,
        )
        self._driver = connection_class(target.flavour)
        arguments: dict[str, Any] = {
            "async_creator_fn": self._connect,
            "application_name": application,
            "connect_timeout": max(2, round(connect_timeout_s)),
            "options": _OPTIONS,
            "gssencmode": "disable",
            "keepalives": 1,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # Keepalives only ask an idle peer; this is for one that went while we sent.
            "tcp_user_timeout": 10_000,
            # Preparing would cost a round trip of its own now and then.
            "prepare_threshold": None,
            **target.options,
        }
        if target.flavour == "embedded":
            # Loopback only; asking for TLS would cost a round trip per connection.
            arguments["sslmode"] = "disable"
        options: dict[str, Any] = {} if crdb else {"use_native_hstore": False}
        self.engine: AsyncEngine = create_async_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=arguments,
            hide_parameters=True,
            # Without it the row count of an INSERT is not kept.
            execution_options={"preserve_rowcount": True},
            **options,
        )

    async def open(self, gateway: Gateway, *, expires_at: float) -> Session:
        """Connect to a gateway.

        Raises ConnectRefusedError, or TooManyConnectionsError where it is full.
        """
        _gateway.set(gateway)
        try:
            connection = await self.engine.connect()
        except (DBAPIError, OSError) as error:
            raise refused(error, region=gateway.region) from error
        try:
            driver = (await connection.get_raw_connection()).driver_connection
        except asyncio.CancelledError:
            await connection.close()
            raise
        assert isinstance(driver, Connection)
        return Session(gateway, connection, driver, expires_at)

    async def close(self) -> None:
        """Forget the engine; sessions still open belong to their pools."""
        await self.engine.dispose()

    async def _connect(self, **arguments: Any) -> Connection:
        gateway = _gateway.get()
        arguments |= {"host": gateway.host, "port": gateway.port}
        if isinstance(gateway, Replica):
            # A standby takes no SERIALIZABLE; each read there is a statement alone.
            arguments["options"] += r" -c default_transaction_isolation=read\ committed"
        return await self._driver.connect(**arguments, cursor_factory=Cursor)
