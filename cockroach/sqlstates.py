"""What each SQLSTATE means to us: one table, which everything else reads.

Sources: PostgreSQL's appendix of error codes, and CockroachDB's transaction retry and
common error references. What was under way decides with it: a lost connection is
harmless before COMMIT and ambiguous during it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cockroach.errors import (
    AmbiguousCommitError,
    ConnectionLostError,
    ConnectRefusedError,
    ConstraintError,
    DatabaseError,
    DatabaseUnavailableError,
    LicenceThrottledError,
    StalePlanError,
    StatementError,
    StatementTimeoutError,
    TooManyConnectionsError,
    TransactionConflictError,
    WrongRegionError,
)

_STALE_PLAN = "cached plan must not change result type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One SQLSTATE: what it says, what we raise, and what is to be done.

    `loses` tells that the connection is of no use afterwards: whatever could have
    been committing by then is ambiguous.
    """

    sqlstate: str
    says: str
    error: type[DatabaseError]
    todo: str
    loses: bool = False
    reason: str = ""


def _table(*rows: Meaning) -> Mapping[str, Meaning]:
    return MappingProxyType({row.sqlstate: row for row in rows})


def _conflict(sqlstate: str, says: str) -> Meaning:
    return Meaning(
        sqlstate=sqlstate,
        says=says,
        error=TransactionConflictError,
        todo="run the whole transaction again",
    )


def _lost(sqlstate: str, says: str) -> Meaning:
    return Meaning(
        sqlstate=sqlstate,
        says=says,
        error=ConnectionLostError,
        todo="run the whole again elsewhere; during COMMIT look for the key",
        loses=True,
        reason="connection_lost",
    )


def _wrong_region(sqlstate: str, says: str) -> Meaning:
    return Meaning(
        sqlstate=sqlstate,
        says=says,
        error=WrongRegionError,
        todo="name the region in the statement, or ask its gateway",
    )


TABLE: Mapping[str, Meaning] = _table(
    _conflict("40001", "serialization failure"),
    _conflict("40P01", "deadlock (PostgreSQL)"),
    _conflict("55P03", "lock not available: NOWAIT or lock_timeout"),
    Meaning(
        sqlstate="40003",
        says="statement completion unknown: the result is ambiguous (CockroachDB)",
        error=AmbiguousCommitError,
        todo="look for the idempotency key; repeat only with the same key",
    ),
    _lost("08000", "connection exception"),
    _lost("08003", "connection does not exist"),
    _lost("08006", "connection failure"),
    _lost("08007", "transaction resolution unknown"),
    _lost("57P01", "admin shutdown: the server drains or was stopped"),
    _lost("57P02", "crash shutdown"),
    _lost("57P05", "idle session timeout"),
    _lost("25P03", "idle in transaction session timeout"),
    Meaning(
        sqlstate="08001",
        says="cannot connect; on the embedded cluster, to the row's region",
        error=DatabaseUnavailableError,
        todo="nothing was done: ask again later",
        reason="remote_region",
    ),
    Meaning(
        sqlstate="08004",
        says="connection rejected",
        error=DatabaseUnavailableError,
        todo="nothing was done: ask again later",
        reason="remote_region",
    ),
    Meaning(
        sqlstate="57P03",
        says="cannot connect now: the server starts or stops",
        error=DatabaseUnavailableError,
        todo="nothing was done: ask again later",
        reason="remote_region",
    ),
    Meaning(
        sqlstate="53300",
        says="too many connections",
        error=TooManyConnectionsError,
        todo="shed load: never repeat it here",
        reason="too_many_connections",
    ),
    Meaning(
        sqlstate="XXC02",
        says="no licence: too many open transactions (CockroachDB)",
        error=LicenceThrottledError,
        todo="alert: set enterprise.license",
        reason="licence_throttled",
    ),
    Meaning(
        sqlstate="57014",
        says="query cancelled: statement timeout",
        error=StatementTimeoutError,
        todo="never repeat blindly: it was too much once",
    ),
    Meaning(
        sqlstate="23505",
        says="unique violation",
        error=ConstraintError,
        todo="the key is taken: read what stands there",
    ),
    _wrong_region("XCHR1", "not running in its home region (CockroachDB)"),
    _wrong_region("XCHR2", "has no home region (CockroachDB)"),
    Meaning(
        sqlstate="0A000",
        says="feature not supported, or a plan that outlived its table's shape",
        error=StatementError,
        todo="a stale plan: run the whole again on another connection; "
        "else the statement is wrong",
    ),
)


def translate(  # noqa: PLR0911 - a table of cases
    error: BaseException, *, region: str, lost: bool, may_commit: bool
) -> DatabaseError:
    """Make one of ours from a driver's error.

    `lost` says that the connection is gone, `may_commit` that the statement could
    have committed something by itself (COMMIT, or a write outside a transaction).
    """
    state: str | None = getattr(error, "sqlstate", None)
    text = first_line(error)
    meaning = TABLE.get(state or "")
    if (lost and meaning is None) or (meaning is not None and meaning.loses):
        if may_commit:
            return AmbiguousCommitError(region, sqlstate=state)
        return ConnectionLostError(region, "connection_lost", sqlstate=state)
    if state == "0A000" and _STALE_PLAN in text:
        return StalePlanError(region, "stale_plan", sqlstate=state)
    if state is not None and state.startswith("23"):
        constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
        return ConstraintError(text, sqlstate=state, constraint=constraint)
    if meaning is None:
        return StatementError(text, sqlstate=state)
    if issubclass(meaning.error, DatabaseUnavailableError):
        return meaning.error(region, meaning.reason, sqlstate=state)
    if meaning.error is AmbiguousCommitError:
        return AmbiguousCommitError(region, sqlstate=state)
    return meaning.error(text, sqlstate=state)


def refused(error: BaseException, *, region: str) -> DatabaseUnavailableError:
    """Make one of ours from a failure to connect."""
    cause = getattr(error, "orig", None) or error
    state: str | None = getattr(cause, "sqlstate", None)
    text = str(cause)
    # A server that has no place says so before the driver knows SQLSTATEs.
    full = ("too many clients", "remaining connection", "too many connections")
    if state == "53300" or any(one in text for one in full):
        return TooManyConnectionsError(
            region, "too_many_connections", sqlstate=state or "53300"
        )
    reason = "connect_timeout" if "timeout" in text else "connect_failed"
    return ConnectRefusedError(region, reason, sqlstate=state)


def first_line(error: BaseException) -> str:
    """Return what names the trouble; DETAIL lines quote the values of rows."""
    return str(error).partition("\n")[0]
