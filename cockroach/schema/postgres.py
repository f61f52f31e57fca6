"""DDL of one plain PostgreSQL: every region's rows in one server, no WAN to pay.

What PostgreSQL has no word for is left out: localities, survival, shards, splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cockroach.schema import ddl
from cockroach.schema.declare import SchemaSpec
from cockroach.schema.metadata import metadata
from cockroach.schema.tables import SHOP


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresLayout:
    """The tables as a single server has them."""

    schema: SchemaSpec = field(default=SHOP, repr=False)
    dialect: str = "postgresql"

    def create(self, revision: str | None = None) -> Iterator[str]:
        """Yield the statements that make every table, in order."""
        for table in metadata(self.schema).sorted_tables:
            parts = ddl.columns(table, ddl.POSTGRESQL, revision)
            parts += ddl.constraints(table, revision=revision)
            yield f"create table {table.name} (\n{ddl.body(parts)}\n)"
            for index in ddl.indexes(table, revision):
                yield ddl.plain_index(table, index)

    def drop(self) -> Iterator[str]:
        """Yield the statements that remove what create made."""
        for table in reversed(metadata(self.schema).sorted_tables):
            yield f"drop table {table.name}"

    def make_index(self, name: str) -> Iterator[str]:
        """Yield the statement that adds one index. Raises DeclarationError."""
        yield ddl.plain_index(*ddl.find_index(self.schema, name))

    def drop_index(self, name: str) -> Iterator[str]:
        """Yield the statement that drops one index. Raises DeclarationError."""
        _, index = ddl.find_index(self.schema, name)
        yield f"drop index {index.name}"

    def add_column(self, table: str, name: str) -> Iterator[str]:
        """Yield the statement that adds one column. Raises DeclarationError."""
        made = ddl.column(ddl.find_column(self.schema, table, name), ddl.POSTGRESQL)
        yield f"alter table {table} add column {made}"

    def drop_column(self, table: str, name: str) -> Iterator[str]:
        """Yield the statement that drops one column. Raises DeclarationError."""
        found = ddl.find_column(self.schema, table, name)
        yield f"alter table {table} drop column {found.name}"

    def set_key(self, table: str, revision: str) -> Iterator[str]:
        """Yield the statement that changes the primary key. Raises DeclarationError."""
        yield ddl.new_key(self.schema, table, revision)

    def own_rows(self, table: str) -> str:
        """Name the table: all its rows are here."""
        return table
