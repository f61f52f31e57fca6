"""Bring the seeded rows into a database by COPY, each region's at its own home."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from cockroach.schema.tables import shop
from cockroach.seed.rows import SeedData


def load_region(
    connection: psycopg.Connection[tuple[object, ...]],
    data: SeedData,
    region: str,
    *,
    suffix: str = "",
) -> None:
    """Copy one region's rows. The suffix picks the leaf tables of a partitioned one."""
    _copy(connection, data.regional[region], suffix=suffix)


def load_global(
    connection: psycopg.Connection[tuple[object, ...]],
    data: SeedData,
    *,
    schema: str = "public",
) -> None:
    """Copy the GLOBAL tables' rows, at the region where they are written."""
    _copy(connection, data.shared, schema=schema)


def _copy(
    connection: psycopg.Connection[tuple[object, ...]],
    tables: Mapping[str, str],
    *,
    schema: str = "public",
    suffix: str = "",
) -> None:
    with connection.cursor() as cursor:
        for name, text in tables.items():
            statement = sql.SQL("copy {} ({}) from stdin").format(
                sql.Identifier(schema, name + suffix),
                sql.SQL(", ").join(sql.Identifier(c.name) for c in shop.tables[name].c),
            )
            with cursor.copy(statement) as copy:
                copy.write(text)
