"""How a command is told of a database that is not the lab's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

#: The variable that may hold the whole URL, so that no password is on a command line.
URL_VARIABLE = "SEAWALL_DATABASE"


def database_options(command: F) -> F:
    """Add `--database URL` and `--migrate`: a lab on a database of the user's own."""
    given = click.option(
        "--database",
        metavar="URL",
        envvar=URL_VARIABLE,
        help="Run on this CockroachDB or PostgreSQL instead of the embedded one, like "
        "cockroachdb://shop@host:26257,host2:26257/shop. A password is better in "
        f"PGPASSWORD, or all of it in {URL_VARIABLE}.",
    )
    migrate = click.option(
        "--migrate",
        is_flag=True,
        help="Bring that database to the newest schema, and seed it if it is empty.",
    )
    return given(migrate(command))
