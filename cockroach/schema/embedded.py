"""DDL of one server of the embedded cluster: one region at home, the others foreign.

A REGIONAL table is a list-partitioned table whose partition of this region is real
and whose others are postgres_fdw tables. Keys, checks and foreign keys live on the
real leaf, because PostgreSQL allows none on a parent with foreign partitions; they
carry the names they have in CockroachDB.

A GLOBAL table is written at the primary region and replicated from there; a write
waits until every region has applied it. Elsewhere it is a view over the replica,
whose triggers carry writes to the primary.

A table that lives in one region is real there and foreign elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Table

from cockroach.schema import ddl
from cockroach.schema.declare import (
    DeclarationError,
    Index,
    RegionalByTable,
    SchemaSpec,
)
from cockroach.schema.metadata import GLOBAL, ONE_REGION, metadata
from cockroach.schema.tables import SHOP
from cockroach.topology import PRIMARY, REGIONS

PUBLICATION = "shop_global"
# As CockroachDB has it: which region the session's gateway stands in.
_GATEWAY_REGION = """\
create function gateway_region() returns text
language sql stable parallel safe as $$ select '{region}'::text $$"""

_VIEW = "create view {name} as select * from glob.{name}"

_WAIT_ALL = """\
create function glob.wait_all() returns trigger language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'remote_apply', true);
  return null;
end $$"""

_FORWARD = """\
create function globw.{name}_forward() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into globw.{name} values (new.*);
    return new;
  elsif tg_op = 'UPDATE' then
    update globw.{name} set ({columns}) = row(new.*) where {match};
    if not found then return null; end if;
    return new;
  end if;
  delete from globw.{name} where {match};
  if not found then return null; end if;
  return old;
end $$"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedLayout:
    """The tables as one region's server has them. Raises DeclarationError."""

    region: str
    primary: str = PRIMARY
    schema: SchemaSpec = field(default=SHOP, repr=False)
    dialect: str = "postgresql"

    def __post_init__(self) -> None:
        if not self.schema.placed:
            raise DeclarationError(
                "a schema without localities cannot be laid out over three servers: "
                "nothing says where a row lives"
            )
        if self.schema.regions != REGIONS or self.region not in REGIONS:
            raise DeclarationError(
                f"the embedded cluster has one server for each of {', '.join(REGIONS)}"
            )

    @property
    def _others(self) -> tuple[str, ...]:
        return tuple(region for region in REGIONS if region != self.region)

    def create(self, revision: str | None = None) -> Iterator[str]:
        """Yield the statements that make every table, in order."""
        yield _GATEWAY_REGION.format(region=self.region)
        yield "create schema glob"
        if self.region == self.primary:
            yield _WAIT_ALL
        else:
            yield "create schema globw"
        tables = metadata(self.schema)
        for table in ddl.global_tables(tables):
            yield from self._global(table)
            yield from self._indexes(table, revision)
        if self.region == self.primary:
            yield f"create publication {PUBLICATION} for tables in schema glob"
        for table in tables.sorted_tables:
            if table.info["locality"] == GLOBAL:
                continue
            if table.info["locality"] == ONE_REGION:
                yield from self._one_region(table)
            else:
                yield from self._regional(table, revision)
            yield from self._indexes(table, revision)

    def drop(self) -> Iterator[str]:
        """Yield the statements that remove what create made."""
        tables = metadata(self.schema)
        for table in reversed(tables.sorted_tables):
            if table.info["locality"] != GLOBAL:
                foreign = "" if self._is_real(table) else "foreign "
                yield f"drop {foreign}table {table.name}"
        if self.region == self.primary:
            yield f"drop publication {PUBLICATION}"
        for table in ddl.global_tables(tables):
            yield f"drop view {table.name}"
        if self.region != self.primary:
            yield "drop schema globw cascade"
        yield "drop schema glob cascade"
        yield "drop function gateway_region()"

    def make_index(self, name: str) -> Iterator[str]:
        """Yield the statements that add one index. Raises DeclarationError."""
        yield from self._index(*ddl.find_index(self.schema, name))

    def drop_index(self, name: str) -> Iterator[str]:
        """Yield the statements that drop one index. Raises DeclarationError."""
        table, index = ddl.find_index(self.schema, name)
        if self._is_real(table):
            yield f"drop index {_schema_of(table)}{index.name}"

    def add_column(self, table: str, name: str) -> Iterator[str]:
        """Yield the statement that adds one column. Raises DeclarationError.

        The partitions get it with the table, the foreign ones included.
        """
        made = ddl.column(ddl.find_column(self.schema, table, name), ddl.POSTGRESQL)
        yield f"alter table {table} add column {made}"

    def drop_column(self, table: str, name: str) -> Iterator[str]:
        """Yield the statement that drops one column. Raises DeclarationError."""
        found = ddl.find_column(self.schema, table, name)
        yield f"alter table {table} drop column {found.name}"

    def set_key(self, table: str, revision: str) -> Iterator[str]:
        """Yield the statement that changes the primary key. Raises DeclarationError."""
        yield ddl.new_key(self.schema, table, revision, leaf=f"_{self.region}")

    def own_rows(self, table: str) -> str:
        """Name the leaf of this region: the others migrate theirs."""
        return f"{table}_{self.region}"

    def _indexes(self, table: Table, revision: str | None) -> Iterator[str]:
        for index in ddl.indexes(table, revision):
            yield from self._index(table, index)

    def _index(self, table: Table, index: Index) -> Iterator[str]:
        # On a partitioned table it reaches the real leaf; foreign ones have theirs.
        if self._is_real(table):
            yield ddl.plain_index(table, index, schema=_schema_of(table))

    def _is_real(self, table: Table) -> bool:
        locality = ddl.spec_of(table).locality
        return (
            not isinstance(locality, RegionalByTable) or locality.region == self.region
        )

    def _one_region(self, table: Table) -> Iterator[str]:
        name = table.name
        columns = ddl.columns(table, ddl.POSTGRESQL)
        if self._is_real(table):
            parts = columns + ddl.constraints(table, shared="glob.")
            yield f"create table {name} (\n{ddl.body(parts)}\n)"
            return
        locality = ddl.spec_of(table).locality
        assert isinstance(locality, RegionalByTable)
        yield (
            f"create foreign table {name} (\n{ddl.body(columns)}\n) "
            f"server {locality.region} options (table_name '{name}')"
        )

    def _regional(self, table: Table, revision: str | None) -> Iterator[str]:
        name = table.name
        columns = ddl.columns(table, ddl.POSTGRESQL, revision)
        yield (
            f"create table {name} (\n{ddl.body(columns)}\n"
            ") partition by list (crdb_region)"
        )
        constraints = ddl.constraints(
            table, leaf=self.region, shared="glob.", revision=revision
        )
        yield (
            f"create table {name}_{self.region} partition of {name} (\n"
            f"{ddl.body(constraints)}\n"
            f") for values in ('{self.region}')"
        )
        for other in self._others:
            yield (
                f"create foreign table {name}_{other} partition of {name} "
                f"for values in ('{other}') server {other} "
                f"options (table_name '{name}_{other}')"
            )

    def _global(self, table: Table) -> Iterator[str]:
        name = table.name
        columns = ddl.columns(table, ddl.POSTGRESQL)
        yield (
            f"create table glob.{name} (\n"
            f"{ddl.body(columns + ddl.constraints(table, shared='glob.'))}\n)"
        )
        if self.region == self.primary:
            yield (
                f"create trigger wait_all before insert or update or delete "
                f"on glob.{name} for each statement execute function glob.wait_all()"
            )
            yield _VIEW.format(name=name)
            return
        yield (
            f"create foreign table globw.{name} (\n{ddl.body(columns)}\n) "
            f"server {self.primary} "
            f"options (schema_name 'glob', table_name '{name}')"
        )
        yield _VIEW.format(name=name)
        match = " and ".join(f"{c.name} = old.{c.name}" for c in table.primary_key)
        names = ", ".join(c.name for c in table.c)
        yield _FORWARD.format(name=name, columns=names, match=match)
        yield (
            f"create trigger forward instead of insert or update or delete "
            f"on {name} for each row execute function globw.{name}_forward()"
        )


def _schema_of(table: Table) -> str:
    return "glob." if table.info["locality"] == GLOBAL else ""
