"""A session on loan: runs statements, judges them, and always finds its way back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql import Executable

from cockroach import statements
from cockroach.driver import StatementAbandonedError
from cockroach.errors import (
    AmbiguousCommitError,
    DatabaseError,
    DatabaseUnavailableError,
    StalePlanError,
    StatementError,
    StatementTimeoutError,
)
from cockroach.health import RegionHealth
from cockroach.pools import GatewayPool
from cockroach.sessions import Session
from cockroach.spans import Note
from cockroach.sqlstates import first_line, translate
from resilience import Permit

Params = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

_UNHEALTHY = (DatabaseUnavailableError, AmbiguousCommitError, StatementTimeoutError)


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement gave: its rows, and how many rows it touched."""

    rows: Sequence[Row[Any]]
    rowcount: int


class _Bound:
    """Cancels the running task after some seconds; asyncio.timeout at half its price.

    `expired` is asked where the cancellation arrives, `lift` called whatever happened.
    """

    __slots__ = ("_asked", "_late", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        # Of others, who want the task to end and not just the statement.
        self._asked = task.cancelling()
        self._late = False
        self._timer = task.get_loop().call_later(seconds, self._expire)

    def expired(self) -> bool:
        return self._late and self._task.cancelling() == self._asked + 1

    def lift(self) -> None:
        self._timer.cancel()
        if self._late:
            self._task.uncancel()

    def _expire(self) -> None:
        self._late = True
        self._task.cancel()


class Lease:
    """One session in the hands of one caller, until give_back or leave."""

    __slots__ = (
        "_bound_s",
        "_health",
        "_home",
        "_note",
        "_pool",
        "_stale_plan",
        "abandoned",
        "session",
    )

    def __init__(
        self,
        session: Session,
        pool: GatewayPool,
        note: Note,
        *,
        home: str,
        health: RegionHealth,
        bound_s: float = 0.0,
    ) -> None:
        self.session = session
        self.abandoned = False
        self._stale_plan = False
        self._bound_s = bound_s
        self._pool = pool
        self._note = note
        self._home = home
        self._health = health
        session.driver.note = note

    async def run(
        self, statement: Executable, params: Params, key: object, *, alone: bool
    ) -> Result:
        """Send one statement. `alone`: outside a transaction, so it commits itself.

        Raises DatabaseError; CancelledError when the caller leaves, with the session
        still waiting for its answer: then only `leave` may follow.
        """
        self._note.key = key
        result = await self._bounded(
            self.session.connection.execute(statement, params), alone=alone
        )
        if result.returns_rows:
            rows = result.fetchall()
            return Result(rows, len(rows))
        return Result((), result.rowcount)

    async def alone(self, statement: Executable, params: Params, key: object) -> Result:
        """Send the one statement that this loan was for, and give the session back.

        Raises as `run` does, having left what it could not give back.
        """
        try:
            result = await self.run(statement, params, key, alone=True)
        except asyncio.CancelledError:
            self.leave()
            raise
        except BaseException:
            self.give_back()
            raise
        self.give_back()
        return result

    async def control(self, text: str, *, commits: bool = False) -> None:
        """Send BEGIN, COMMIT or ROLLBACK. Raises as `run` does."""
        self._note.key = None
        await self._bounded(self.session.driver.control(text), alone=commits)

    async def _bounded(self, sent: Awaitable[Any], *, alone: bool) -> Any:
        if not self._bound_s:
            return await self._judged(sent, alone=alone)
        bound = _Bound(self._bound_s)
        try:
            return await self._judged(sent, alone=alone)
        except asyncio.CancelledError as error:
            if not bound.expired():
                raise
            # Not asked to stop: that would cost the connection. The answer may come.
            self.abandoned = True
            if alone and _can_commit(self._note.text):
                raise AmbiguousCommitError(self._home) from error
            raise StatementTimeoutError(
                f"no answer within {self._bound_s:g} s"
            ) from error
        finally:
            bound.lift()

    async def _judged(self, sent: Awaitable[Any], *, alone: bool) -> Any:
        health = self._health
        permit = health.permit()
        try:
            result = await sent
        except BaseException as error:
            failure = self._failed(error, permit, alone=alone)
            if failure is error:
                raise
            raise failure from error
        self._answered(permit, ok=True)
        return result

    @property
    def in_transaction(self) -> bool:
        """Tell whether the server has a transaction open for this session."""
        return self.session.driver.pgconn.transaction_status != 0

    def give_back(self) -> None:
        """Return a session that is done; a broken one is replaced."""
        if self.abandoned:
            self.leave()
            return
        self.session.driver.note = None
        if self._stale_plan:
            self._pool.discard(self.session)
        else:
            self._pool.release(self.session)

    def leave(self) -> None:
        """Walk away in the middle; the session is cleaned up behind our back."""
        self._pool.drain(self.session, self._clean)

    async def _clean(self) -> None:
        if self.session.driver.pgconn.transaction_status != 0:
            await self.session.driver.control("ROLLBACK")
        self.session.driver.note = None

    def _answered(self, permit: Permit | None, *, ok: bool) -> None:
        self._health.record(
            permit,
            ok=ok,
            latency_s=self._note.elapsed_s,
            gateway=self.session.gateway.name,
        )

    def _failed(
        self, error: BaseException, permit: Any, *, alone: bool
    ) -> BaseException:
        health = self._health
        if isinstance(error, StatementAbandonedError):
            health.left(
                permit,
                after_s=self._note.elapsed_s,
                gateway=self.session.gateway.name,
            )
            return asyncio.CancelledError()
        said = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(said, psycopg.Error):
            note = self._note
            driver = self.session.driver
            translated: DatabaseError = translate(
                said,
                region=self._home,
                lost=driver.closed,
                may_commit=alone and _can_commit(note.text),
            )
            if isinstance(translated, StalePlanError):
                self._stale_plan = True
                health.release(permit)
            elif isinstance(translated, _UNHEALTHY):
                self._answered(permit, ok=False)
            else:
                health.release(permit)
            return translated
        health.release(permit)
        if isinstance(error, SQLAlchemyError):
            return StatementError(first_line(error))
        return error


def _can_commit(text: str) -> bool:
    return text == "COMMIT" or statements.writes(text)
