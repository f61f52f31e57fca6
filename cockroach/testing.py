"""For tests of code that uses a database: failures made to order, statements counted.

Both hook into SQLAlchemy itself, for every engine of the process, blocking or not, so
the code under test needs nothing of ours; nothing of it exists outside of a `with`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from sqlalchemy import Engine, event

from cockroach import statements
from cockroach.sqlstates import TABLE
from observability import names

Hook = tuple[str, Callable[..., Any]]
Where = Literal["connect", "begin", "statement", "commit"]

_CONTROLS = {"BEGIN": "begin", "COMMIT": "commit", "ROLLBACK": "rollback"}


class InjectedError(psycopg.OperationalError):
    """What the driver would have raised: an error with the SQLSTATE asked for."""

    def __init__(self, sqlstate: str, says: str) -> None:
        super().__init__(f"injected {sqlstate}: {says}")
        self.sqlstate = sqlstate


@dataclass(slots=True)
class Injection:
    """An injection in force; `left` is how often it will still strike."""

    sqlstate: str
    at: Where
    left: int
    applied: bool
    matching: str
    says: str
    struck: int = 0
    _armed: Any = None

    def hooks(self) -> list[Hook]:
        """List what is to listen to SQLAlchemy's events meanwhile."""
        return [
            ("before_cursor_execute", self._arms),
            ("do_execute", self._executes),
            ("do_executemany", self._executes),
            ("do_execute_no_params", self._executes),
            ("commit", self._commits),
            ("do_connect", self._connects),
        ]

    def _arms(self, _connection: Any, cursor: Any, *_others: Any) -> None:
        # What an engine asks for itself on its first connection has no such event.
        self._armed = cursor

    def _executes(self, cursor: Any, text: str, *others: Any) -> None:
        kind = _kind(text)
        if cursor is not self._armed or not self._due(kind, text):
            return
        if self.applied:
            cursor.execute(text, *others[:-1])
        elif kind == "commit":
            cursor.execute("ROLLBACK")  # a COMMIT that fails ends the transaction
        self._fail(_driver_of(cursor))

    def _commits(self, connection: Any) -> None:
        driver = connection.connection.driver_connection
        # In driver-level autocommit there is nothing to commit.
        if not driver.autocommit and self._due("commit", ""):
            if self.applied:
                driver.commit()
            else:
                driver.rollback()
            self._fail(driver)

    def _connects(self, *_arguments: Any) -> None:
        if self._due("connect", ""):
            raise self._error()

    def _due(self, at: str, text: str) -> bool:
        if at != self.at or not self.left or self.matching.lower() not in text.lower():
            return False
        self.left -= 1
        self.struck += 1
        return True

    def _fail(self, driver: Any) -> None:
        meaning = TABLE.get(self.sqlstate)
        if meaning is not None and meaning.loses:
            driver.pgconn.finish()
        raise self._error()

    def _error(self) -> InjectedError:
        return InjectedError(self.sqlstate, self.says)


@contextmanager
def inject(
    sqlstate: str,
    *,
    at: Where = "statement",
    times: int = 1,
    applied: bool = False,
    matching: str = "",
) -> Iterator[Injection]:
    """Make the next `times` statements fail with an SQLSTATE, in all engines.

    `at` chooses what fails: opening a connection, BEGIN, COMMIT, or any other
    statement, of which only those that contain `matching`. With `applied` the
    statement reaches the server first, so that a failed COMMIT did commit. SQLSTATEs
    of lost connections do close the connection. Raises ValueError on an SQLSTATE that
    is not one. The yielded object counts (`struck`), and `says` is the text to come.

    A blocking engine opens its transactions by itself: it has no "begin" to fail.
    """
    if len(sqlstate) != 5 or not sqlstate.isalnum():
        raise ValueError(f"{sqlstate!r} is no SQLSTATE: five letters or digits")
    known = TABLE.get(sqlstate)
    says = known.says if known else "an error"
    one = Injection(sqlstate, at, times, applied, matching, says)
    with _listening(one.hooks()):
        yield one


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement that was sent; regions are empty where the engine is not ours."""

    text: str
    summary: str
    home: str = ""
    gateway_region: str = ""
    client_region: str = ""
    stale: bool = False

    @property
    def cross_region(self) -> bool:
        """Whether it left the client's region, or the gateway had to for its rows."""
        if self.gateway_region != self.client_region:
            return True
        return self.home != self.gateway_region and not self.stale

    def __str__(self) -> str:
        where = f" at {self.gateway_region} for {self.home}" if self.home else ""
        return self.summary + where


class TooManyStatementsError(AssertionError):
    """More statements were sent than the test allows; the message lists them."""


@contextmanager
def expect_statements(
    *,
    at_most: int,
    cross_region: int = 0,
    trips: Callable[[], int] | None = None,
) -> Iterator[list[Sent]]:
    """Fail when more statements are sent inside than a test allows.

    Counts every statement of every engine of the process but BEGIN, COMMIT, ROLLBACK
    and what `Database` asks for itself (probes, plans); yields the list as it grows.
    `cross_region` bounds those that leave their region on the way to a gateway, which
    is known of `Database` only. What a gateway asks other regions for, only the
    database knows: `trips` returns such a count (of the links of an embedded cluster,
    say), and its growth is added. Raises TooManyStatementsError.
    """
    sent: list[Sent] = []

    def executes(_connection: Any, cursor: Any, text: str, *_others: Any) -> None:
        if _kind(text) == "statement" and (one := _sent(cursor, text)) is not None:
            sent.append(one)

    before = trips() if trips else 0
    with _listening([("before_cursor_execute", executes)]):
        yield sent
    crossed = sum(one.cross_region for one in sent)
    crossed += trips() - before if trips else 0
    if len(sent) > at_most:
        raise TooManyStatementsError(
            f"{len(sent)} statements where at most {at_most} were expected:\n"
            + "\n".join(f"  {one}" for one in sent)
        )
    if crossed > cross_region:
        raise TooManyStatementsError(
            f"{crossed} trips between regions where at most {cross_region} were "
            "expected:\n" + "\n".join(f"  {one}" for one in sent)
        )


def _sent(cursor: Any, text: str) -> Sent | None:
    note = getattr(_driver_of(cursor), "note", None)
    if note is None:
        return Sent(text, statements.describe(text)[0])
    known = note.decision.attributes
    if known.get(names.DB_PROBE):
        return None
    return Sent(
        text,
        statements.describe(text)[0],
        home=known[names.HOME_REGION],
        gateway_region=known[names.GATEWAY_REGION],
        client_region=known[names.CLIENT_REGION],
        stale=known.get(names.BALANCER_REASON) == "stale_read",
    )


@contextmanager
def _listening(hooks: list[Hook]) -> Iterator[None]:
    for name, hook in hooks:
        event.listen(Engine, name, hook)
    try:
        yield
    finally:
        for name, hook in hooks:
            event.remove(Engine, name, hook)


def _kind(text: str) -> str:
    first = text.lstrip().split(None, 1)[0].upper() if text.strip() else ""
    return _CONTROLS.get(first, "statement")


def _driver_of(cursor: Any) -> Any:
    # An asyncio engine's cursor wraps the driver's.
    return getattr(cursor, "_cursor", cursor).connection
