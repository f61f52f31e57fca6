"""The pieces of DDL that every database shares, rendered from the declaration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy import (
    CheckConstraint,
    Constraint,
    Dialect,
    ForeignKeyConstraint,
    MetaData,
    Table,
    UniqueConstraint,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.schema import CreateColumn

from cockroach.schema.declare import (
    FIRST,
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

    def add_column(self, table: str, name: str) -> Iterable[str]:
        """Yield the statements that add one column to a table that is there."""

    def drop_column(self, table: str, name: str) -> Iterable[str]:
        """Yield the statements that take one column away."""

    def set_key(self, table: str, revision: str) -> Iterable[str]:
        """Yield the statements that make a table's primary key as at a revision."""

    def own_rows(self, table: str) -> str:
        """Name the table of the rows that this database migrates, all and no others."""


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


def find_column(schema: SchemaSpec, table: str, name: str) -> SqlColumn[Any]:
    """Find a column. Raises DeclarationError when there is none."""
    found = metadata(schema).tables.get(table)
    if found is None or name not in found.c:
        raise DeclarationError(f"no column {table}.{name} is declared")
    return found.c[name]


def column(one: SqlColumn[Any], dialect: Dialect) -> str:
    """Render a column with its type, default and NOT NULL."""
    return str(CreateColumn(one).compile(dialect=dialect)).strip()


def new_key(schema: SchemaSpec, table: str, revision: str, *, leaf: str = "") -> str:
    """Render the change of a primary key. Raises DeclarationError.

    One statement: between two the table would have none, and CockroachDB keeps an
    index on the old one, a unique one, unless it goes together with it.
    """
    spec = schema.by_name.get(table)
    if spec is None or spec.former_key is None:
        raise DeclarationError(f"no other key of {table} is declared")
    names = ", ".join(spec.key_at(revision))
    return (
        f"alter table {table}{leaf} drop constraint {table}_pkey, "
        f"add constraint {table}_pkey primary key ({names})"
    )


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


def columns(table: Table, dialect: Dialect, revision: str | None = None) -> list[str]:
    """Render each column that is there at a revision."""
    born = {one.name: one.since for one in spec_of(table).later}
    return [
        column(one, dialect)
        for one in table.c
        if revision is None or born.get(one.name, FIRST) <= revision
    ]


def constraints(
    table: Table, *, leaf: str = "", shared: str = "", revision: str | None = None
) -> list[str]:
    """Render primary key, unique, check and foreign keys, in that order.

    With a leaf region, foreign keys to REGIONAL tables point at that region's leaf
    tables; `shared` is put before the names of GLOBAL ones.
    """
    key = ", ".join(spec_of(table).key_at(revision))
    primary = [f"constraint {table.name}_pkey primary key ({key})"]
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
