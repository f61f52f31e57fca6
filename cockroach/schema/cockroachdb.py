"""DDL of CockroachDB: a multi-region database, its tables with their localities.

Built from names and the declaration only, never from free text. CockroachDB runs
DDL statement by statement, so each may be repeated after a break.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

from cockroach.schema import ddl
from cockroach.schema.tables import GLOBAL, REGIONAL, shop
from cockroach.topology import PRIMARY, REGIONS

_LOCALITY = {REGIONAL: "locality regional by row", GLOBAL: "locality global"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CockroachLayout:
    """The tables as a three-region CockroachDB cluster has them."""

    dbname: str = "shop"
    dialect: str = "cockroachdb"

    def create(self) -> Iterator[str]:
        """Yield the statements that make every table, in order."""
        yield f'alter database {self.dbname} set primary region "{PRIMARY}"'
        for region in REGIONS:
            if region != PRIMARY:
                yield (
                    f'alter database {self.dbname} add region if not exists "{region}"'
                )
        dialect = CockroachDBDialect_psycopg()
        for table in shop.sorted_tables:
            parts = ddl.columns(table, dialect) + ddl.constraints(table)
            yield (
                f"create table if not exists {table.name} (\n{ddl.body(parts)}\n) "
                f"{_LOCALITY[table.info['locality']]}"
            )
            yield from ddl.indexes(table, dialect, if_not_exists=True)

    def drop(self) -> Iterator[str]:
        """Yield the statements that remove what create made."""
        for table in reversed(shop.sorted_tables):
            yield f"drop table if exists {table.name}"
