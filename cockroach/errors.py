"""Everything the data layer raises, in one tree.

    DatabaseError
     * DatabaseUnavailableError     the region's database cannot be asked now
        * ConnectionLostError       went away before anything could be committed
           * StalePlanError         a prepared statement outlived its table's shape
        * ConnectRefusedError       a gateway did not let us in
        * TooManyConnectionsError   it has no place for another connection
        * LicenceThrottledError     CockroachDB without a licence takes five at most
     * PoolExhaustedError           no connection came free in time
     * StatementTimeoutError        the server gave up on a statement
     * DeadlineSpentError           the caller's time was over before it was sent
     * TransactionConflictError     lost against another transaction
        * OutOfRetriesError         and lost again, as often as the policy allows
     * AmbiguousCommitError         committed or not: repeat with the same key
     * ConstraintError              a unique, foreign key or check constraint said no
     * StatementError               the statement itself is wrong
        * WrongRegionError          it may not leave its home region, and would

Each carries `status`, the gRPC status name that fits it at a service's edge, and
`repeat`, what a runner may do about it: nothing, run the whole again, or first find
out whether it happened.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Repeat = Literal["never", "whole", "resolve"]


class DatabaseError(Exception):
    """Base of all; `sqlstate` is what the server said, None when it said nothing."""

    status: ClassVar[str] = "INTERNAL"
    repeat: ClassVar[Repeat] = "never"

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class DatabaseUnavailableError(DatabaseError):
    """A region's database cannot be asked; nothing was written.

    `reason` is one word (breaker_open, connect_failed, connect_timeout,
    connection_lost, too_many_connections, remote_region, closed; of a copy
    no_replica, too_old, near_failed),
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
    """The statement took too long; inside a transaction nothing remains of it.

    The server gave up on it, or we on the server: its own limit does not see a link
    that is slow.
    """

    status = "DEADLINE_EXCEEDED"


class DeadlineSpentError(DatabaseError):
    """The caller's deadline had passed before the statement was sent."""

    status = "DEADLINE_EXCEEDED"


class TransactionConflictError(DatabaseError):
    """Another transaction won (40001, 40P01, 55P03): repeat the whole of it."""

    status = "ABORTED"
    repeat: ClassVar[Repeat] = "whole"


class OutOfRetriesError(TransactionConflictError):
    """Every attempt that policy, budget and deadline allow was lost."""

    repeat: ClassVar[Repeat] = "never"

    def __init__(self, attempts: int, *, why: str, sqlstate: str | None) -> None:
        super().__init__(
            f"gave up after {attempts} attempt{'s' if attempts != 1 else ''} "
            f"({why}), last SQLSTATE {sqlstate}",
            sqlstate=sqlstate,
        )
        self.attempts = attempts


class AmbiguousCommitError(DatabaseError):
    """The connection went while a commit was under way: it happened or it did not.

    Never undo on it, and never repeat it blindly: look for the idempotency key, or
    repeat the whole with the same key.
    """

    status = "UNAVAILABLE"
    repeat: ClassVar[Repeat] = "resolve"

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


class WrongRegionError(StatementError):
    """A statement that may not leave its home region would have (XCHR1, XCHR2).

    CockroachDB says so where `enforce_home_region` is on.
    """


class ConnectionLostError(DatabaseUnavailableError):
    """The connection went before anything could have been committed."""

    repeat: ClassVar[Repeat] = "whole"


class StalePlanError(ConnectionLostError):
    """A prepared statement outlived its table's shape: a new connection has none."""


class ConnectRefusedError(DatabaseUnavailableError):
    """A gateway did not let us in; another one of the region may."""

    repeat: ClassVar[Repeat] = "whole"


class TooManyConnectionsError(DatabaseUnavailableError):
    """A server has no place for another connection: asking again makes it worse."""

    status = "RESOURCE_EXHAUSTED"


class LicenceThrottledError(DatabaseUnavailableError):
    """CockroachDB without a valid licence takes five transactions at a time (XXC02).

    No retry cures it: somebody has to set `enterprise.license`.
    """
