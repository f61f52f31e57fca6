"""Schema versions, run by Alembic from the program, for every kind of database.

A revision asks the layout for statements; the layout knows the database's kind.
The embedded cluster is migrated server by server, each with its own version table.
A database that a newer program has migrated is refused, and left as it is.
"""

from __future__ import annotations

import io
from pathlib import Path
from threading import Lock
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from cockroach.schema.ddl import Layout

State = Literal["missing", "older", "current", "newer"]


class NewerSchemaError(RuntimeError):
    """The database is at a revision that this program does not know."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the database is at schema revision {found}, and this program knows none "
            f"after {head()}: a newer one has migrated it. Nothing was changed; run "
            "the newer program, or let it take the schema back first"
        )
        self.found = found


# Alembic's `op` and `context` are one per process.
_one_at_a_time = Lock()


def _config(layout: Layout, **attributes: object) -> Config:
    config = Config()
    # Alembic reads a percent sign as the start of an interpolation.
    here = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", here)
    config.set_main_option("path_separator", "os")
    config.attributes.update(layout=layout, **attributes)
    return config


def upgrade(connection: Connection, layout: Layout, revision: str = "head") -> None:
    """Bring a database to a revision. The caller owns connection and transaction.

    Raises NewerSchemaError, before anything is changed.
    """
    _refuse_newer(connection)
    with _one_at_a_time:
        command.upgrade(_config(layout, connection=connection), revision)


def downgrade(connection: Connection, layout: Layout, revision: str = "base") -> None:
    """Take a database back to a revision; every table of later ones is dropped.

    Raises NewerSchemaError, before anything is changed.
    """
    _refuse_newer(connection)
    with _one_at_a_time:
        command.downgrade(_config(layout, connection=connection), revision)


def script(layout: Layout, revision: str = "head") -> str:
    """Return the SQL that upgrade would run from nothing, without a database."""
    output = io.StringIO()
    config = _config(layout)
    config.output_buffer = output
    with _one_at_a_time:
        command.upgrade(config, revision, sql=True)
    return output.getvalue()


def revisions() -> tuple[str, ...]:
    """List every revision that this program knows, the oldest first."""
    config = Config()
    here = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", here)
    config.set_main_option("path_separator", "os")
    walked = ScriptDirectory.from_config(config).walk_revisions()
    return tuple(reversed([one.revision for one in walked]))


def head() -> str:
    """Name the newest revision."""
    return revisions()[-1]


def current(connection: Connection) -> str | None:
    """Name the revision that a database is at; None before the first."""
    return MigrationContext.configure(connection).get_current_revision()


def state(connection: Connection) -> State:
    """Tell how a database's schema stands to this program's; changes nothing."""
    found = current(connection)
    if found is None:
        return "missing"
    if found not in revisions():
        return "newer"
    return "current" if found == head() else "older"


def _refuse_newer(connection: Connection) -> None:
    found = current(connection)
    if found is not None and found not in revisions():
        raise NewerSchemaError(found)
