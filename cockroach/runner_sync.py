"""The blocking twin of `Database.transaction`, for any SQLAlchemy engine.

Same decisions, same errors, same budget: both ask `cockroach.attempts`. What it does
not have is the choice of a gateway, since an engine has one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cockroach.attempts import Attempts, Known
from cockroach.errors import (
    AmbiguousCommitError,
    ConstraintError,
    DatabaseError,
    DeadlineSpentError,
    PoolExhaustedError,
    StatementError,
    TransactionConflictError,
)
from cockroach.sqlstates import first_line, refused, translate
from resilience import BudgetConfig, Listener, TokenBucket, current_deadline

T = TypeVar("T")

_FAILED = psycopg.pq.TransactionStatus.INERROR
_SWALLOWED = "seawall.swallowed"


class BlockingRunner:
    """Runs work in SERIALIZABLE transactions of one engine; for any thread.

    `region` is where the engine's database is, for errors and events. `attempts`
    counts the first one. `retry_budget` holds for all threads together; None for none.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        region: str,
        attempts: int = 5,
        retry_budget: BudgetConfig | None = BudgetConfig(),  # noqa: B008 - frozen
        listener: Listener | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if attempts < 1:
            raise ValueError("attempts must be at least 1")
        self._engine = engine.execution_options(isolation_level="SERIALIZABLE")
        self._reading = engine.execution_options(
            isolation_level="SERIALIZABLE", postgresql_readonly=True
        )
        self._region = region
        self._at_most = attempts
        self._budget = TokenBucket(retry_budget) if retry_budget else None
        self._listener = listener
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries only
        self._sleep = sleep
        for one in (self._engine, self._reading):
            event.listen(one, "handle_error", _remember)

    def __repr__(self) -> str:
        return f"<BlockingRunner {self._region} {self._budget!r}>"

    def transaction(
        self,
        work: Callable[[Connection], T],
        *,
        resolve: Callable[[Connection], Known[T] | None] | None = None,
    ) -> T:
        """Run work in a transaction, again as a whole when it is lost.

        As `Database.transaction`, with SQLAlchemy's own Connection, which an ORM
        session can be bound to. The work neither commits nor rolls back.
        """
        attempts: Attempts | None = None
        while True:
            try:
                if attempts is not None and attempts.doubt is not None:
                    assert resolve is not None
                    known = self._attempt(self._reading, resolve)
                    if known is not None:
                        return known.value
                    attempts.missing()
                result = self._attempt(self._engine, work)
            except DatabaseError as error:
                if attempts is None:
                    attempts = self._attempts(resolvable=resolve is not None)
                self._sleep(attempts.after(error))
            else:
                if self._budget is not None:
                    self._budget.succeeded()
                return result

    def _attempts(self, *, resolvable: bool) -> Attempts:
        return Attempts(
            f"database@{self._region}",
            "transaction",
            at_most=self._at_most,
            budget=self._budget,
            deadline=current_deadline(),
            rng=self._rng,
            listener=self._listener,
            resolvable=resolvable,
        )

    def _attempt(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        with self._connect(engine) as connection:
            connection.info.pop(_SWALLOWED, None)
            transaction = connection.begin()
            try:
                result = work(connection)
                _refuse_swallowed(connection)
            except BaseException as error:
                with suppress(SQLAlchemyError):
                    transaction.rollback()
                if isinstance(error, SQLAlchemyError):
                    raise self._translated(error, connection) from error
                raise
            try:
                transaction.commit()
            except (SQLAlchemyError, psycopg.Error) as error:
                raise self._uncommitted(error, connection) from error
        return result

    def _connect(self, engine: Engine) -> Connection:
        deadline = current_deadline()
        if deadline is not None and deadline.expired:
            raise DeadlineSpentError(
                f"no time left to ask the database of {self._region}"
            )
        began = time.monotonic()
        try:
            return engine.connect()
        except PoolTimeoutError as error:
            pool: Any = engine.pool
            raise PoolExhaustedError(
                self._region, waited_s=time.monotonic() - began, limit=pool.checkedout()
            ) from error
        except DBAPIError as error:
            raise refused(error, region=self._region) from error

    def _translated(
        self, error: SQLAlchemyError, connection: Connection, *, commits: bool = False
    ) -> DatabaseError:
        if not isinstance(error, DBAPIError) or error.orig is None:
            return StatementError(first_line(error))
        return translate(
            error.orig,
            region=self._region,
            lost=error.connection_invalidated or _closed(connection),
            may_commit=commits,
        )

    def _uncommitted(
        self, error: SQLAlchemyError | psycopg.Error, connection: Connection
    ) -> DatabaseError:
        if isinstance(error, psycopg.Error):
            made = translate(error, region=self._region, lost=True, may_commit=True)
        else:
            made = self._translated(error, connection, commits=True)
        with suppress(SQLAlchemyError):
            if not _idle(connection):
                connection.invalidate()
        told = (AmbiguousCommitError, TransactionConflictError, ConstraintError)
        if isinstance(made, told):
            return made
        return AmbiguousCommitError(self._region, sqlstate=made.sqlstate)


def _remember(context: Any) -> None:
    connection = context.connection
    if connection is not None and not connection.invalidated:
        connection.info[_SWALLOWED] = context.sqlalchemy_exception


def _refuse_swallowed(connection: Connection) -> None:
    # The server answers COMMIT with ROLLBACK then, and calls it a success.
    driver: Any = connection.connection.driver_connection
    if driver.pgconn.transaction_status == _FAILED:
        error = connection.info.get(_SWALLOWED)
        raise error or StatementError("the work left its transaction in error")


def _closed(connection: Connection) -> bool:
    if connection.closed or connection.invalidated:
        return True
    driver: Any = connection.connection.driver_connection
    return bool(driver is None or driver.closed)


def _idle(connection: Connection) -> bool:
    if _closed(connection):
        return False
    driver: Any = connection.connection.driver_connection
    return bool(driver.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE)
