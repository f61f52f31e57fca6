"""DDL of CockroachDB: a multi-region database, its tables with their localities.

Built from names and the declaration only, never from free text. CockroachDB runs
DDL statement by statement, so each may be repeated after a break.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Table
from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

from cockroach.schema import ddl
from cockroach.schema.declare import (
    DeclarationError,
    Global,
    Index,
    Locality,
    RegionalByRow,
    RegionalByTable,
    SchemaSpec,
    Split,
    check_name,
)
from cockroach.schema.metadata import metadata
from cockroach.schema.tables import SHOP

Survival = Literal["zone", "region"]
# CockroachDB refuses to survive a region with fewer.
_REGIONS_TO_SURVIVE_ONE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CockroachLayout:
    """The tables as a multi-region CockroachDB cluster has them.

    `survival` is the whole database's: `zone` keeps writes inside their region and
    loses a region's rows while it is down; `region` keeps them, and every write pays
    a round trip to the nearest other region. Raises DeclarationError.
    """

    dbname: str = "shop"
    survival: Survival = "zone"
    schema: SchemaSpec = field(default=SHOP, repr=False)
    dialect: str = "cockroachdb"

    def __post_init__(self) -> None:
        check_name(self.dbname, "database")
        if self.survival not in ("zone", "region"):
            raise DeclarationError(
                f"survival goal {self.survival!r}: expected zone or region"
            )
        if self.survival == "region":
            if not self.schema.placed:
                raise DeclarationError(
                    "a schema without localities has no regions to survive the loss of"
                )
            if len(self.schema.regions) < _REGIONS_TO_SURVIVE_ONE:
                raise DeclarationError(
                    f"surviving a region takes {_REGIONS_TO_SURVIVE_ONE} regions, "
                    f"and there are {len(self.schema.regions)}"
                )

    def database(self) -> Iterator[str]:
        """Yield the statements that tell the database its regions and its goal."""
        if not self.schema.placed:
            return
        primary = self.schema.primary
        yield f'alter database {self.dbname} set primary region "{primary}"'
        for region in self.schema.regions:
            if region != primary:
                yield (
                    f'alter database {self.dbname} add region if not exists "{region}"'
                )
        yield f"alter database {self.dbname} survive {self.survival} failure"

    def create(self, revision: str | None = None) -> Iterator[str]:
        """Yield the statements that make every table, in order."""
        yield from self.database()
        dialect = CockroachDBDialect_psycopg()
        for table in metadata(self.schema).sorted_tables:
            parts = ddl.columns(table, dialect, revision)
            parts += ddl.constraints(table, revision=revision)
            yield (
                f"create table if not exists {table.name} (\n{ddl.body(parts)}\n)"
                + _locality(ddl.spec_of(table).locality)
            )
            for index in ddl.indexes(table, revision):
                yield _index(table, index)

    def drop(self) -> Iterator[str]:
        """Yield the statements that remove what create made."""
        for table in reversed(metadata(self.schema).sorted_tables):
            yield f"drop table if exists {table.name}"

    def make_index(self, name: str) -> Iterator[str]:
        """Yield the statement that adds one index. Raises DeclarationError."""
        yield _index(*ddl.find_index(self.schema, name))

    def drop_index(self, name: str) -> Iterator[str]:
        """Yield the statement that drops one index. Raises DeclarationError."""
        table, index = ddl.find_index(self.schema, name)
        yield f"drop index if exists {table.name}@{index.name}"

    def add_column(self, table: str, name: str) -> Iterator[str]:
        """Yield the statement that adds one column. Raises DeclarationError."""
        found = ddl.find_column(self.schema, table, name)
        made = ddl.column(found, CockroachDBDialect_psycopg())
        yield f"alter table {table} add column if not exists {made}"

    def drop_column(self, table: str, name: str) -> Iterator[str]:
        """Yield the statement that drops one column. Raises DeclarationError."""
        found = ddl.find_column(self.schema, table, name)
        yield f"alter table {table} drop column if exists {found.name}"

    def set_key(self, table: str, revision: str) -> Iterator[str]:
        """Yield the statement that changes the primary key. Raises DeclarationError."""
        yield ddl.new_key(self.schema, table, revision)

    def own_rows(self, table: str) -> str:
        """Name the table: its rows of all regions are migrated together."""
        return table

    def presplit(self, days: int) -> Iterator[str]:
        """Yield the statements that cut the key ranges at their declared points.

        To be run before a campaign: ranges then need not split at its peak. After
        `days` the ranges may merge again. Raises DeclarationError.
        """
        if days < 1:
            raise DeclarationError(f"splits for {days} days: at least one")
        for table in metadata(self.schema).sorted_tables:
            for split in ddl.spec_of(table).splits:
                yield _split(table, split, days)


def _locality(locality: Locality) -> str:
    if isinstance(locality, RegionalByRow):
        return " locality regional by row"
    if isinstance(locality, Global):
        return " locality global"
    if isinstance(locality, RegionalByTable):
        return f' locality regional by table in "{locality.region}"'
    return ""


def _index(table: Table, index: Index) -> str:
    columns = ", ".join(str(column) for column in index.columns)
    made = f"create index if not exists {index.name} on {table.name} ({columns})"
    if index.buckets is None:
        return made
    return f"{made} using hash with (bucket_count = {index.buckets})"


def _split(table: Table, split: Split, days: int) -> str:
    points = ",\n".join(
        "  (" + ", ".join(_literal(value) for value in point) + ")"
        for point in split.points
    )
    what = f"table {table.name}"
    if split.index is not None:
        what = f"index {table.name}@{split.index}"
    return (
        f"alter {what} split at values\n{points}\n"
        f"with expiration '{days} days'::interval"
    )


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
