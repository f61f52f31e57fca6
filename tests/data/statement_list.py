"""Every statement of the services, by name, as each kind of database gets it.

`python -m tests.data.statement_list` writes the list anew. A service's statements are
its modules' constants: upper-case names are sent, lower-case ones are parts of others.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import SelectBase
from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

import services
from cockroach.database import Database
from cockroach.transaction import Transaction

FILE = Path(__file__).with_name("statements.txt")
HEAD = (
    "Every statement that a service sends, as PostgreSQL and as CockroachDB get it.\n"
    "Made by `python -m tests.data.statement_list`.\n"
)
DIALECTS = {
    "postgresql": PGDialect_psycopg(),
    "cockroachdb": CockroachDBDialect_psycopg(),
}

# How SQLAlchemy leaves room for a list until its length is known.
_LISTED = re.compile(
    r"__\[POSTCOMPILE_(?P<name>\w+)(?:~~\w*~~REPL~~(?P<cast>[\w: ]*)~~)?\]"
)

Statement = SelectBase | UpdateBase


@cache
def listed() -> dict[str, Statement]:
    """Collect the constants of every module of every service."""
    found: dict[str, Statement] = {}
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        for name, value in vars(loaded).items():
            if name.isupper() and isinstance(value, Statement):
                short = module.name.removeprefix("services.")
                found[f"{short}.{name.strip('_')}"] = value
    return found


def text(statement: Statement, dialect: str) -> str:
    """Compile a statement, with a place for each value of a constant list."""
    compiled = statement.compile(dialect=DIALECTS[dialect])

    def places(found: re.Match[str]) -> str:
        name, cast = found["name"], found["cast"] or ""
        count = len(compiled.params[name])
        return ", ".join(f"%({name}_{n + 1})s{cast}" for n in range(count))

    return _LISTED.sub(places, str(compiled))


def render() -> str:
    """Write all of them down."""
    parts = [HEAD] + [
        f"-- {name} ({dialect})\n{text(statement, dialect)};\n"
        for name, statement in sorted(listed().items())
        for dialect in DIALECTS
    ]
    return "\n".join(line.rstrip() for line in "\n".join(parts).splitlines()) + "\n"


class Sent:
    """What the services of this process have sent so far."""

    def __init__(self) -> None:
        self.statements: dict[int, tuple[Any, str]] = {}

    def see(self, statement: Any) -> None:
        """Remember a statement when a service sends it, not when a test does."""
        frame = sys._getframe(2)
        while frame.f_globals.get("__name__", "").startswith("cockroach."):
            if frame.f_back is None:
                return
            frame = frame.f_back
        sender = frame.f_globals.get("__name__", "")
        if sender.startswith("services."):
            self.statements[id(statement)] = (statement, sender)

    def names(self) -> set[str]:
        """Name the listed statements among them."""
        return {
            name
            for name, statement in listed().items()
            if id(statement) in self.statements
        }

    def unlisted(self) -> list[str]:
        """Give sender and text of whatever is not on the list, by its text."""
        known = {text(one, "postgresql") for one in listed().values()}
        found = ((by, text(one, "postgresql")) for one, by in self.statements.values())
        return sorted(f"{by}: {sql}" for by, sql in found if sql not in known)


@contextmanager
def recording() -> Iterator[Sent]:
    """Watch every statement that goes through the data layer."""
    sent = Sent()
    originals = {kind: kind.execute for kind in (Database, Transaction)}

    def watched(original: Callable[..., Any], where: int) -> Callable[..., Any]:
        def execute(*args: Any, **kwargs: Any) -> Any:
            sent.see(
                kwargs.get("statement", args[where] if len(args) > where else None)
            )
            return original(*args, **kwargs)

        return execute

    # A database's first argument is the region, a transaction's the statement.
    Database.execute = watched(originals[Database], 2)
    Transaction.execute = watched(originals[Transaction], 1)
    try:
        yield sent
    finally:
        for kind, original in originals.items():
            kind.execute = original


if __name__ == "__main__":
    FILE.write_text(render())
