"""The pieces of DDL that every database shares, rendered from the declaration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from sqlalchemy import (
    CheckConstraint,
    Constraint,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.schema import CreateColumn, CreateIndex

from cockroach.schema.tables import GLOBAL, REGIONAL, shop

POSTGRESQL: Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class Layout(Protocol):
    """How one kind of database lays the shop's tables out."""

    @property
    def dialect(self) -> str:
        """Name the SQLAlchemy dialect."""

    def create(self) -> Iterable[str]:
        """Yield the statements that make every table, in order."""

    def drop(self) -> Iterable[str]:
        """Yield the statements that remove what create made."""


def regional_tables() -> Sequence[Table]:
    """List the REGIONAL tables, referenced ones first."""
    return [t for t in shop.sorted_tables if t.info["locality"] == REGIONAL]


def global_tables() -> Sequence[Table]:
    """List the GLOBAL tables."""
    return [t for t in shop.sorted_tables if t.info["locality"] == GLOBAL]


def columns(table: Table, dialect: Dialect) -> list[str]:
    """Render each column with its type and NOT NULL."""
    return [str(CreateColumn(c).compile(dialect=dialect)).strip() for c in table.c]


def indexes(table: Table, dialect: Dialect, *, if_not_exists: bool) -> list[str]:
    """Render the CREATE INDEX statements of a table, sorted by name."""
    ordered = sorted(table.indexes, key=_index_name)
    return [
        str(CreateIndex(i, if_not_exists=if_not_exists).compile(dialect=dialect))
        for i in ordered
    ]


def constraints(table: Table, *, leaf: str = "") -> list[str]:
    """Render primary key, unique, check and foreign keys, in that order.

    With a leaf region, foreign keys point at that region's leaf tables.
    """
    primary = [
        f"constraint {table.name}_pkey primary key ({_names(table.primary_key)})"
    ]
    unique: list[str] = []
    checks: list[str] = []
    foreign: list[str] = []
    for one in sorted(table.constraints, key=_constraint_name):
        if isinstance(one, UniqueConstraint):
            unique.append(f"constraint {one.name} unique ({_names(one)})")
        elif isinstance(one, CheckConstraint):
            checks.append(f"constraint {one.name} check ({one.sqltext})")
        elif isinstance(one, ForeignKeyConstraint):
            target = one.referred_table.name + (f"_{leaf}" if leaf else "")
            referred = ", ".join(element.column.name for element in one.elements)
            foreign.append(
                f"constraint {one.name} foreign key ({_names(one)}) "
                f"references {target} ({referred})"
            )
    return primary + unique + checks + foreign


def body(parts: Iterable[str]) -> str:
    """Indent the parts of a CREATE TABLE, one a line."""
    return ",\n".join(f"  {part}" for part in parts)


def _names(constraint: Constraint) -> str:
    return ", ".join(column.name for column in constraint.columns)  # type: ignore[attr-defined]


def _constraint_name(constraint: Constraint) -> str:
    return str(constraint.name)


def _index_name(index: Index) -> str:
    return str(index.name)
