"""DDL of one server of the embedded cluster: one region at home, the others foreign.

A REGIONAL table is a list-partitioned table whose partition of this region is real
and whose others are postgres_fdw tables. Keys, checks and foreign keys live on the
real leaf, because PostgreSQL allows none on a parent with foreign partitions; they
carry the names they have in CockroachDB.

A GLOBAL table is written at the primary region and replicated from there; a write
waits until every region has applied it. Elsewhere it is a view over the replica,
whose triggers carry writes to the primary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Table

from cockroach.schema import ddl
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
    """The tables as one region's server has them."""

    region: str
    primary: str = PRIMARY
    dialect: str = "postgresql"

    @property
    def _others(self) -> tuple[str, ...]:
        return tuple(region for region in REGIONS if region != self.region)

    def create(self) -> Iterator[str]:
        """Yield the statements that make every table, in order."""
        yield _GATEWAY_REGION.format(region=self.region)
        yield "create schema glob"
        for table in ddl.global_tables():
            yield from self._global(table)
        if self.region == self.primary:
            yield f"create publication {PUBLICATION} for tables in schema glob"
        for table in ddl.regional_tables():
            yield from self._regional(table)

    def drop(self) -> Iterator[str]:
        """Yield the statements that remove what create made."""
        for table in reversed(ddl.regional_tables()):
            yield f"drop table {table.name}"
        if self.region == self.primary:
            yield f"drop publication {PUBLICATION}"
        for table in ddl.global_tables():
            yield f"drop view {table.name}"
        if self.region != self.primary:
            yield "drop schema globw cascade"
        yield "drop schema glob cascade"
        yield "drop function gateway_region()"

    def _regional(self, table: Table) -> Iterator[str]:
        name = table.name
        yield (
            f"create table {name} (\n{ddl.body(ddl.columns(table, ddl.POSTGRESQL))}\n"
            ") partition by list (crdb_region)"
        )
        yield (
            f"create table {name}_{self.region} partition of {name} (\n"
            f"{ddl.body(ddl.constraints(table, leaf=self.region))}\n"
            f") for values in ('{self.region}')"
        )
        for other in self._others:
            yield (
                f"create foreign table {name}_{other} partition of {name} "
                f"for values in ('{other}') server {other} "
                f"options (table_name '{name}_{other}')"
            )
        yield from ddl.indexes(table, ddl.POSTGRESQL, if_not_exists=False)

    def _global(self, table: Table) -> Iterator[str]:
        name = table.name
        columns = ddl.columns(table, ddl.POSTGRESQL)
        yield (
            f"create table glob.{name} (\n"
            f"{ddl.body(columns + ddl.constraints(table))}\n)"
        )
        if self.region == self.primary:
            if table is ddl.global_tables()[0]:
                yield _WAIT_ALL
            yield (
                f"create trigger wait_all before insert or update or delete "
                f"on glob.{name} for each statement execute function glob.wait_all()"
            )
            yield _VIEW.format(name=name)
            return
        if table is ddl.global_tables()[0]:
            yield "create schema globw"
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
