"""DDL of one plain PostgreSQL: every region's rows in one server, no WAN to pay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cockroach.schema import ddl
from cockroach.schema.tables import shop


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresLayout:
    """The tables as a single server has them."""

    dialect: str = "postgresql"

    def create(self) -> Iterator[str]:
        """Yield the statements that make every table, in order."""
        for table in shop.sorted_tables:
            parts = ddl.columns(table, ddl.POSTGRESQL) + ddl.constraints(table)
            yield f"create table {table.name} (\n{ddl.body(parts)}\n)"
            yield from ddl.indexes(table, ddl.POSTGRESQL, if_not_exists=False)

    def drop(self) -> Iterator[str]:
        """Yield the statements that remove what create made."""
        for table in reversed(shop.sorted_tables):
            yield f"drop table {table.name}"
