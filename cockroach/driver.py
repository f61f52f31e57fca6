"""psycopg connections that make the spans and can be left in the middle of a statement.

psycopg answers a cancelled wait by asking the server, over a new connection, to stop.
On a slow path that takes longer than the statement and SQLAlchemy then drops the
connection. Here the wait just ends; whoever owns the connection lets the answer come
in later (`Connection.drain`) or throws it away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import psycopg
from psycopg import crdb, pq, waiting

from cockroach import spans

_ACTIVE = pq.TransactionStatus.ACTIVE
_perf = time.perf_counter

T = TypeVar("T")


# Tests put what is to happen before a statement here: (connection, text, parameters).
Before = Callable[["Connection", str, Any], Awaitable[None]]
before: list[Before] = []


class StatementAbandonedError(Exception):
    """The caller left while the server was working; the answer is still to come."""


class Cursor(psycopg.AsyncCursor[Any]):
    """A cursor whose statements have spans."""

    async def execute(
        self,
        query: Any,
        params: Any = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """Send one statement and wait for all of its answer."""
        note: spans.Note | None = self._conn.note  # type: ignore[attr-defined]
        if note is None:
            return await super().execute(query, params, prepare=prepare, binary=binary)
        if note.rewrite is not None:
            query = note.rewrite(query)
        send = partial(super().execute, query, params, prepare=prepare, binary=binary)
        return await _noted(note, self._conn, query, params, send)  # type: ignore[arg-type]

    async def executemany(
        self, query: Any, params_seq: Any, *, returning: bool = False
    ) -> None:
        """Send one statement with many rows of parameters, pipelined."""
        note: spans.Note | None = self._conn.note  # type: ignore[attr-defined]
        if note is None:
            return await super().executemany(query, params_seq, returning=returning)
        rows: Sequence[Any] = list(params_seq)
        span = note.start(query, rows, batch=len(rows))
        began = _perf()
        try:
            for look in before:
                await look(self._conn, query, rows)  # type: ignore[arg-type]
            return await super().executemany(query, rows, returning=returning)
        except BaseException as error:
            if self._conn.abandoned:  # type: ignore[attr-defined]
                # Leaving a pipeline fails once more; why it was left is what counts.
                spans.left(span)
                raise StatementAbandonedError from None
            spans.failed(span, error)
            raise
        finally:
            note.end(span, _perf() - began, rows[0] if rows else None)


async def _noted(
    note: spans.Note,
    connection: Connection,
    query: str,
    params: Any,
    send: Callable[[], Awaitable[T]],
) -> T:
    span = note.start(query, params)
    began = _perf()
    try:
        for look in before:
            await look(connection, query, params)
        return await send()
    except StatementAbandonedError:
        spans.left(span)
        raise
    except BaseException as error:
        spans.failed(span, error)
        raise
    finally:
        note.end(span, _perf() - began, params)


class _Leavable(psycopg.AsyncConnection[Any]):
    note: spans.Note | None = None
    abandoned = False

    async def control(self, text: str) -> None:
        """Send BEGIN, COMMIT or ROLLBACK, past SQLAlchemy, which has no part in it.

        As the driver sends its own: a cursor is more than they need.
        """
        if self.note is None:
            await self._command(text)
        else:
            await _noted(self.note, self, text, None, partial(self._command, text))

    async def _command(self, text: str) -> None:
        async with self.lock:
            await self.wait(self._exec_command(text.encode()))

    async def wait(
        self,
        gen: Any,
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> Any:
        """Wait as psycopg does; when cancelled, leave the answer for `drain`."""
        try:
            return await waiting.wait_async(
                gen, self.pgconn.socket, interval=interval, timeout=timeout
            )
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == _ACTIVE:
                # An ordinary exception, or SQLAlchemy would drop the connection.
                self.abandoned = True
                raise StatementAbandonedError from None
            raise

    async def drain(self) -> None:
        """Read what is left of an abandoned statement's answer, and ignore it.

        Raises StatementAbandonedError after a pipeline, which cannot be untangled.
        """
        self.abandoned = False
        if self.pgconn.pipeline_status:
            raise StatementAbandonedError
        loop = asyncio.get_running_loop()
        pgconn = self.pgconn
        while pgconn.flush():  # noqa: ASYNC110 - nothing here would set an event
            await asyncio.sleep(0.01)
        while pgconn.transaction_status == _ACTIVE:
            while pgconn.is_busy():
                ready = loop.create_future()
                loop.add_reader(pgconn.socket, _wake, ready)
                try:
                    await ready
                finally:
                    loop.remove_reader(pgconn.socket)
                pgconn.consume_input()
            if pgconn.get_result() is None:
                return


class PostgresConnection(_Leavable):
    """To PostgreSQL."""


class CockroachConnection(_Leavable, crdb.AsyncCrdbConnection[Any]):
    """To CockroachDB, with its adapters."""


def connection_class(flavour: str) -> type[_Leavable]:
    """Choose the driver connection for a flavour of database."""
    return CockroachConnection if flavour == "cockroach" else PostgresConnection


Connection = _Leavable


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
