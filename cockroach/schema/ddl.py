"""The pieces of DDL that every database shares, rendered from the declaration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from sqlalchemy import (
    CheckConstraint,
    Constraint,
    Dialect,
    ForeignKeyConstraint,
    MetaData,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.schema import CreateColumn

from cockroach.schema.declare import (
    REGION_COLUMN,
    DeclarationError,
    Index,
    SchemaSpec,
    TableSpec,
)
from cockroach.schema.metadata import metadata
from cockroach.schema.tables import GLOBAL, REGIONAL, shop

POSTGRESQL: Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class Layout(Protocol):
    """How one kind of database lays a schema's tables out.

    A revision is asked for by its number; None is the newest.
    """

    @property
    def dialect(self) -> str:
        """Name the SQLAlchemy dialect."""

    def create(self, revision: str | None = None) -> Iterable[str]:
        """Yield the statements that make every table, in order."""

    def drop(self) -> Iterable[str]:
        """Yield the statements that remove what create made."""

    def make_index(self, name: str) -> Iterable[str]:
        """Yield the statements that add one index to tables that are there."""

    def drop_index(self, name: str) -> Iterable[str]:
        """Yield the statements that take one index away."""


def regional_tables(tables: MetaData = shop) -> Sequence[Table]:
    """List the REGIONAL tables, referenced ones first."""
    return [t for t in tables.sorted_tables if t.info["locality"] == REGIONAL]


def global_tables(tables: MetaData = shop) -> Sequence[Table]:
    """List the GLOBAL tables."""
    return [t for t in tables.sorted_tables if t.info["locality"] == GLOBAL]


def spec_of(table: Table) -> TableSpec:
    """Give the declaration that a table was made from."""
    spec = table.info["spec"]
    assert isinstance(spec, TableSpec)
    return spec


def find_index(schema: SchemaSpec, name: str) -> tuple[Table, Index]:
    """Find an index and its table. Raises DeclarationError when there is none."""
    for table in metadata(schema).sorted_tables:
        for index in spec_of(table).indexes:
            if index.name == name:
                return table, index
    raise DeclarationError(f"no index {name!r} is declared")


def indexes(table: Table, revision: str | None = None) -> list[Index]:
    """List a table's indexes as they are at a revision, by name."""
    alive = [
        index
        for index in spec_of(table).indexes
        if (index.until is None if revision is None else index.alive(revision))
    ]
    return sorted(alive, key=lambda index: index.name)


def plain_index(table: Table, index: Index, *, schema: str = "") -> str:
    """Render an index for PostgreSQL, which does not shard: the region first, always.

    CockroachDB's hash-sharded index of a REGIONAL BY ROW table has it first too.
    """
    names = [str(column) for column in index.columns]
    if index.buckets is not None and spec_of(table).regional:
        names.insert(0, REGION_COLUMN)
    return f"create index {index.name} on {schema}{table.name} ({', '.join(names)})"


def columns(table: Table, dialect: Dialect) -> list[str]:
    """Render each column with its type and NOT NULL."""
    return [str(CreateColumn(c).compile(dialect=dialect)).strip() for c in table.c]


def constraints(table: Table, *, leaf: str = "", shared: str = "") -> list[str]:
    """Render primary key, unique, check and foreign keys, in that order.

    With a leaf region, foreign keys to REGIONAL tables point at that region's leaf
    tables; `shared` is put before the names of GLOBAL ones.
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
            target = one.referred_table.name
            locality = one.referred_table.info["locality"]
            if leaf and locality == REGIONAL:
                target += f"_{leaf}"
            elif locality == GLOBAL:
                target = shared + target
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
