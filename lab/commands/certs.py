"""`seawall certs`: a development authority, and certificates that it signed."""

from __future__ import annotations

from pathlib import Path

import click

from lab import authority
from lab.console import console_for, expected_errors, json_option
from lab.results import Result, emit


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".seawall/certs"),
    show_default=True,
)
@click.option("--days", type=click.IntRange(1, 825), default=30, show_default=True)
@json_option
def certs(out: Path, days: int, json_path: str | None) -> int:
    """Make an authority, a server and a client certificate for mutual TLS.

    For development: the authority's key lies beside the certificates, readable by
    its owner alone.
    """
    with expected_errors():
        files = authority.make(out, days=days)
    console = console_for(json_path)
    console.print(f"made for {days} days in {out}: {', '.join(sorted(files))}")
    console.print(f"use them with: seawall up --tls {out}")
    emit(Result(command="certs", results=[{"folder": str(out)}]), json_path)
    return 0
