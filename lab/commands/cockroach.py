"""`seawall cockroach`: what there is to ask of a database that is not the lab's own."""

from __future__ import annotations

import click


@click.group()
def cockroach() -> None:
    """Look at a CockroachDB cluster, or a PostgreSQL server that stands for one."""
