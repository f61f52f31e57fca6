"""Everything the data layer raises, in one tree.

    DatabaseError
     * DatabaseUnavailableError     the region's database cannot be asked now
        * ConnectionLostError       went away before anything could be committed
        * ConnectRefusedError       a gateway did not let us in
     * PoolExhaustedError           no connection came free in time
     * StatementTimeoutError        the server gave up on a statement
     * DeadlineSpentError           the caller's time was over before it was sent
     * TransactionConflictError     lost against another transaction
        * OutOfRetriesError         and lost again, as often as the policy allows
     * AmbiguousCommitError         committed or not: repeat with the same key
     * ConstraintError              a unique, foreign key or check constraint said no
     * StatementError               the statement itself is wrong

Each carries `status`, the gRPC status name that fits it at a service's edge.
"""

from __future__ import annotations

from typing import ClassVar

CONFLICTS = frozenset({"40001", "40P01", "55P03"})
_AMBIGUOUS = frozenset({"40003"})
# The server refused or never began: nothing was done.
_NEVER_BEGAN = frozenset({"08001", "08004", "57P03", "53300", "XXC02"})
# The server went away while it worked.
_LOST = frozenset({"08000", "08003", "08006", "08007", "57P01", "57P02", "57P05"})


class DatabaseError(Exception):
    """Base of all; `sqlstate` is what the server said, None when it said nothing."""

    status: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class DatabaseUnavailableError(DatabaseError):
    """A region's database cannot be asked; nothing was written.

    `reason` is one word (breaker_open, connect_failed, connect_timeout,
    connection_lost, too_many_connections, remote_region, closed),
    `retry_after_s` seconds until asking again makes sense.
    """

    status = "UNAVAILABLE"

    def __init__(
        self,
        region: str,
        reason: str,
        *,
        retry_after_s: float = 1.0,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(
            f"the database of region {region} is unavailable: {reason}",
            sqlstate=sqlstate,
        )
        self.region = region
        self.reason = reason
        self.retry_after_s = retry_after_s


class PoolExhaustedError(DatabaseError):
    """No connection of a gateway's pool came free within the policy's wait."""

    status = "RESOURCE_EXHAUSTED"

    def __init__(
        self, gateway: str, *, waited_s: float, limit: int, retry_after_s: float = 1.0
    ) -> None:
        super().__init__(
            f"all {limit} connections to gateway {gateway} stayed busy "
            f"for {waited_s:.2f} s"
        )
        self.gateway = gateway
        self.waited_s = waited_s
        self.limit = limit
        self.retry_after_s = retry_after_s


class StatementTimeoutError(DatabaseError):
    """The server cancelled the statement; inside a transaction nothing remains."""

    status = "DEADLINE_EXCEEDED"


class DeadlineSpentError(DatabaseError):
    """The caller's deadline had passed before the statement was sent."""

    status = "DEADLINE_EXCEEDED"


class TransactionConflictError(DatabaseError):
    """Another transaction won (40001, 40P01, 55P03): repeat the whole of it."""

    status = "ABORTED"


class OutOfRetriesError(TransactionConflictError):
    """Every attempt the policy or the deadline allows was lost."""

    def __init__(self, attempts: int, *, why: str, sqlstate: str | None) -> None:
        super().__init__(
            f"gave up after {attempts} attempt{'s' if attempts != 1 else ''} "
            f"({why}), last SQLSTATE {sqlstate}",
            sqlstate=sqlstate,
        )
        self.attempts = attempts


class AmbiguousCommitError(DatabaseError):
    """The connection went while a commit was under way: it happened or it did not.

    Never undo on it: repeat the whole with the same idempotency key.
    """

    status = "UNAVAILABLE"

    def __init__(self, region: str, *, sqlstate: str | None = None) -> None:
        super().__init__(
            f"region {region} did not confirm the commit: it may have happened",
            sqlstate=sqlstate,
        )
        self.region = region
        self.retry_after_s = 0.5


class ConstraintError(DatabaseError):
    """A constraint refused the rows; `constraint` is its name when known."""

    status = "FAILED_PRECONDITION"

    def __init__(
        self, message: str, *, sqlstate: str | None, constraint: str | None
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.constraint = constraint


class StatementError(DatabaseError):
    """The server or the driver could not make sense of the statement."""


class ConnectionLostError(DatabaseUnavailableError):
    """The connection went before anything could have been committed."""


class ConnectRefusedError(DatabaseUnavailableError):
    """A gateway did not let us in; another one of the region may."""


def translate(  # noqa: PLR0911 - a table of cases
    error: BaseException, *, region: str, lost: bool, may_commit: bool
) -> DatabaseError:
    """Make one of ours from a driver's error.

    `lost` says that the connection is gone, `may_commit` that the statement could
    have committed something by itself (COMMIT, or a write outside a transaction).
    """
    state: str | None = getattr(error, "sqlstate", None)
    if state in CONFLICTS:
        return TransactionConflictError(_text(error), sqlstate=state)
    if state in _AMBIGUOUS:
        return AmbiguousCommitError(region, sqlstate=state)
    if state in _NEVER_BEGAN:
        reason = "too_many_connections" if state == "53300" else "remote_region"
        return DatabaseUnavailableError(region, reason, sqlstate=state)
    if lost or state in _LOST:
        if may_commit:
            return AmbiguousCommitError(region, sqlstate=state)
        return ConnectionLostError(region, "connection_lost", sqlstate=state)
    if state == "57014":
        return StatementTimeoutError(_text(error), sqlstate=state)
    if state is not None and state.startswith("23"):
        constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
        return ConstraintError(_text(error), sqlstate=state, constraint=constraint)
    return StatementError(_text(error), sqlstate=state)


def _text(error: BaseException) -> str:
    # The first line names the trouble; DETAIL lines quote the values of rows.
    return str(error).partition("\n")[0]
