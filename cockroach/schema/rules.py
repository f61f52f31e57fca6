"""What a declaration may say: one function for each thing, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable

from cockroach.schema.declare import (
    FIRST,
    REGION_COLUMN,
    DeclarationError,
    ForeignKey,
    FormerKey,
    Global,
    Index,
    RegionalByTable,
    SchemaSpec,
    Split,
    TableSpec,
    Unplaced,
    check_name,
)

# CockroachDB's own bounds for bucket_count.
_BUCKETS = range(2, 2049)
_NOT_INDEXABLE = {"jsonb"}


def check(schema: SchemaSpec) -> None:
    """Refuse a schema with anything wrong in it. Raises DeclarationError."""
    if schema.primary not in schema.regions:
        raise DeclarationError(
            f"the primary region {schema.primary!r} is none of {schema.regions}"
        )
    _distinct((t.name for t in schema.tables), "table")
    _distinct((i.name for t in schema.tables for i in t.indexes), "index")
    placed = {isinstance(t.locality, Unplaced) for t in schema.tables}
    if len(placed) > 1:
        raise DeclarationError(
            "either every table has a locality or none: an unplaced one would live in "
            "the primary region by accident"
        )
    for table in schema.tables:
        _check_table(schema, table)


def _check_table(schema: SchemaSpec, table: TableSpec) -> None:
    check_name(table.name, "table")
    for column in table.columns:
        check_name(column.name, f"{table.name}: column")
        if column.name == REGION_COLUMN:
            raise DeclarationError(
                f"{table.name}: {REGION_COLUMN} is made by the locality, not declared"
            )
        if column.kind == "identity" and not isinstance(table.locality, Unplaced):
            raise DeclarationError(
                f"{table.name}: {column.name} counts up, so every insert goes to one "
                "place in one region; keys are made by the application"
            )
    _distinct(table.column_names, f"{table.name}: column")
    _check_later(table)
    if (
        isinstance(table.locality, RegionalByTable)
        and table.locality.region not in schema.regions
    ):
        raise DeclarationError(
            f"{table.name} lives in {table.locality.region!r}, "
            f"which is none of {schema.regions}"
        )
    _check_key(table, table.key, "primary key")
    for unique in table.uniques:
        check_name(unique.name, f"{table.name}: unique")
        _check_key(table, unique.columns, f"unique {unique.name}")
    for one in table.checks:
        check_name(one.name, f"{table.name}: check")
    for index in table.indexes:
        _check_index(table, index)
    for foreign in table.foreign_keys:
        _check_foreign(schema, table, foreign)
    for split in table.splits:
        _check_split(schema, table, split)


def _check_key(table: TableSpec, columns: tuple[str, ...], what: str) -> None:
    _known(table, columns, what)
    for name in columns:
        if name != REGION_COLUMN and any(
            c.null for c in table.columns if c.name == name
        ):
            raise DeclarationError(
                f"{table.name}: {what} holds {name}, which may be null"
            )
    if table.regional and columns[0] != REGION_COLUMN:
        raise DeclarationError(
            f"{table.name}: {what} ({', '.join(columns)}) does not begin with "
            f"{REGION_COLUMN}: every insert would have to ask all regions whether the "
            "key is taken"
        )


def _check_later(table: TableSpec) -> None:
    if (table.later or table.former_key is not None) and not table.regional:
        raise DeclarationError(
            f"{table.name}: a later column or another key is made for REGIONAL BY ROW "
            "tables only; the copies of others would have to be made anew"
        )
    for column in table.later:
        if not column.null and column.default is None:
            raise DeclarationError(
                f"{table.name}: {column.name} is added to rows that are there, and "
                "has no value for them: give it a default, or let it be null"
            )
    if table.former_key is not None:
        _check_former_key(table, table.former_key)


def _check_former_key(table: TableSpec, former: FormerKey) -> None:
    _check_key(table, former.columns, "former primary key")
    born = {column.name: column.since for column in table.columns}
    for name in former.columns:
        if born.get(name, FIRST) != FIRST:
            raise DeclarationError(
                f"{table.name}: former primary key holds {name}, which came later"
            )
    for name in table.key:
        if born.get(name, FIRST) >= former.until:
            raise DeclarationError(
                f"{table.name}: primary key of {former.until} holds {name}, which "
                f"is not there before {born[name]} is done"
            )


def _check_index(table: TableSpec, index: Index) -> None:
    check_name(index.name, f"{table.name}: index")
    what = f"index {index.name}"
    _known(table, index.names, what)
    if index.until is not None and index.until <= index.since:
        raise DeclarationError(f"{what} ends at {index.until}, before {index.since}")
    if index.buckets is None:
        if table.regional and index.names[0] != REGION_COLUMN:
            raise DeclarationError(
                f"{table.name}: {what} does not begin with {REGION_COLUMN}: whoever "
                "uses it would search all regions"
            )
        return
    if index.buckets not in _BUCKETS:
        raise DeclarationError(
            f"{what}: {index.buckets} buckets; CockroachDB takes {_BUCKETS.start} to "
            f"{_BUCKETS.stop - 1}"
        )
    if table.regional and REGION_COLUMN in index.names:
        raise DeclarationError(
            f"{table.name}: hash-sharded {what} names {REGION_COLUMN}: CockroachDB "
            "puts the region before the shard by itself and refuses it here"
        )


def _check_foreign(schema: SchemaSpec, table: TableSpec, foreign: ForeignKey) -> None:
    what = f"{table.name}: foreign key ({', '.join(foreign.columns)})"
    target = schema.by_name.get(foreign.table)
    if target is None:
        raise DeclarationError(f"{what} refers to {foreign.table}, which is no table")
    _known(table, foreign.columns, "foreign key")
    _known(target, foreign.referred, "foreign key")
    if foreign.referred not in {target.key, *(u.columns for u in target.uniques)}:
        raise DeclarationError(
            f"{what} refers to {target.name} ({', '.join(foreign.referred)}), which is "
            "neither its key nor unique"
        )
    if len(foreign.columns) != len(foreign.referred):
        raise DeclarationError(
            f"{what} has another number of columns than it refers to"
        )
    for mine, theirs in zip(foreign.columns, foreign.referred, strict=True):
        if _comparable(table.kind(mine)) != _comparable(target.kind(theirs)):
            raise DeclarationError(
                f"{what}: {mine} and {theirs} are of different kinds"
            )
    if not _stays_in_the_region(table, target, foreign):
        raise DeclarationError(
            f"{what} leaves the region: rows of {table.name} would be checked against "
            f"rows of {target.name} elsewhere. Refer to a GLOBAL table, or begin both "
            f"sides with {REGION_COLUMN}"
        )


def _comparable(kind: str) -> str:
    return "bigint" if kind == "identity" else kind


def _stays_in_the_region(
    table: TableSpec, target: TableSpec, foreign: ForeignKey
) -> bool:
    if isinstance(table.locality, Unplaced) or isinstance(target.locality, Global):
        return True
    if table.regional and target.regional:
        return foreign.columns[0] == foreign.referred[0] == REGION_COLUMN
    return (
        isinstance(table.locality, RegionalByTable)
        and table.locality == target.locality
    )


def _check_split(schema: SchemaSpec, table: TableSpec, split: Split) -> None:
    key = table.key
    what = f"{table.name}: split"
    if split.index is not None:
        found = [i for i in table.indexes if i.name == split.index]
        if not found:
            raise DeclarationError(f"{what} of {split.index}, which is no index of it")
        if found[0].buckets is not None:
            raise DeclarationError(
                f"{what} of {split.index}: CockroachDB splits a hash-sharded index at "
                "its shards by itself"
            )
        key = found[0].names
    if not split.points:
        raise DeclarationError(f"{what} without points")
    _distinct((", ".join(p) for p in split.points), f"{what} point")
    for point in split.points:
        shown = ", ".join(point)
        if not 0 < len(point) <= len(key):
            raise DeclarationError(
                f"{what} at ({shown}): the key is ({', '.join(key)})"
            )
        if table.regional and point[0] not in schema.regions:
            raise DeclarationError(
                f"{what} at ({shown}) does not begin with a region: it would cut "
                "somewhere inside another region's rows, or nowhere"
            )
        if table.regional and len(point) == 1:
            raise DeclarationError(
                f"{what} at ({shown}): the ranges of a region begin there already"
            )


def _known(table: TableSpec, columns: tuple[str, ...], what: str) -> None:
    if not columns:
        raise DeclarationError(f"{table.name}: {what} without columns")
    _distinct(columns, f"{table.name}: {what}: column")
    for name in columns:
        if name not in table.column_names:
            raise DeclarationError(
                f"{table.name}: {what} names {name}, no column of it"
            )
        if what != "foreign key" and table.kind(name) in _NOT_INDEXABLE:
            raise DeclarationError(
                f"{table.name}: {what} holds {name}, and a {table.kind(name)} has no "
                "order"
            )


def _distinct(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DeclarationError(f"{what} {name} is declared twice")
        seen.add(name)
