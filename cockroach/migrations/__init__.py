"""Schema versions, run by Alembic from the program, for every kind of database.

A revision asks the layout for statements; the layout knows the database's kind.
The embedded cluster is migrated server by server, each with its own version table.
"""

from __future__ import annotations

import io
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from cockroach.schema.ddl import Layout

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
    """Bring a database to a revision. The caller owns connection and transaction."""
    with _one_at_a_time:
        command.upgrade(_config(layout, connection=connection), revision)


def downgrade(connection: Connection, layout: Layout, revision: str = "base") -> None:
    """Take a database back to a revision; every table of later ones is dropped."""
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


def head() -> str:
    """Name the newest revision."""
    config = Config()
    here = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", here)
    config.set_main_option("path_separator", "os")
    return str(ScriptDirectory.from_config(config).get_current_head())


def current(connection: Connection) -> str | None:
    """Name the revision that a database is at; None before the first."""
    return MigrationContext.configure(connection).get_current_revision()
