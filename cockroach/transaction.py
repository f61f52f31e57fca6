"""SERIALIZABLE transactions, and when the whole of one is worth another attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Row
from sqlalchemy.sql import Executable

from cockroach.errors import (
    AmbiguousCommitError,
    ConstraintError,
    DatabaseError,
    StatementError,
    TransactionConflictError,
)
from cockroach.lease import Lease, Params, Result

T = TypeVar("T")

BEGIN = "BEGIN ISOLATION LEVEL SERIALIZABLE"
BEGIN_READ = "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY"


class Transaction:
    """What the work of `Database.transaction` may use; dead once the work returns."""

    __slots__ = ("_lease", "lost", "over")

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.lost: DatabaseError | None = None
        self.over = False

    async def fetch(
        self, statement: Executable, params: Params = None, *, key: object = None
    ) -> Sequence[Row[Any]]:
        """Run one statement and return its rows. Raises DatabaseError."""
        return (await self.execute(statement, params, key=key)).rows

    async def execute(
        self, statement: Executable, params: Params = None, *, key: object = None
    ) -> Result:
        """Run one statement. Raises DatabaseError; StatementError once it is over.

        After an error the transaction cannot be saved: let it pass.
        """
        if self.over:
            # Of a task that the work left behind: alone it would be committed.
            raise StatementError("the transaction is over: its work has ended")
        try:
            return await self._lease.run(statement, params, key, alone=False)
        except DatabaseError as error:
            self.lost = error
            raise


async def attempt(
    lease: Lease,
    work: Callable[[Transaction], Awaitable[T]],
    *,
    reads: bool = False,
) -> T:
    """BEGIN, the work, COMMIT; ROLLBACK when the work raises. Gives the lease back.

    With `reads` the server refuses to write. Raises what the work raised, or
    DatabaseError; AmbiguousCommitError when COMMIT was sent and not answered.
    """
    transaction = Transaction(lease)
    try:
        await lease.control(BEGIN_READ if reads else BEGIN)
        try:
            result = await work(transaction)
        finally:
            transaction.over = True
        if transaction.lost is not None:
            # The work swallowed it, but the server will not commit any more.
            raise transaction.lost  # noqa: TRY301 - must roll back like the rest
        await _commit(lease)
    except asyncio.CancelledError:
        lease.leave()
        raise
    except BaseException:
        await _roll_back(lease)
        raise
    lease.give_back()
    return result


async def _commit(lease: Lease) -> None:
    try:
        await lease.control("COMMIT", commits=True)
    except (AmbiguousCommitError, TransactionConflictError, ConstraintError):
        raise
    except DatabaseError as error:
        raise AmbiguousCommitError(
            lease.session.gateway.region, sqlstate=error.sqlstate
        ) from error


async def _roll_back(lease: Lease) -> None:
    if lease.abandoned:
        lease.leave()  # its answer may still come, and is rolled back then
        return
    try:
        if not lease.session.driver.closed and lease.in_transaction:
            await lease.control("ROLLBACK")
    except asyncio.CancelledError:
        lease.leave()
        raise
    except DatabaseError:
        pass  # the connection went too; the server rolls back by itself
    lease.give_back()
