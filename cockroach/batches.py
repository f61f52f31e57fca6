"""Many rows in one statement, written so that both databases take it.

One trip, whatever the number of rows: `unnest` turns arrays into rows, `= ANY` asks
for many keys. No RETURNING: it makes the embedded cluster send a statement a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy import column as named
from sqlalchemy.types import TypeEngine

from cockroach.inserts import Insert, insert, insert_unless_there
from cockroach.schema.types import Region

# Rows a statement: above a few hundred the trip is paid for, and a statement that
# runs long is one that meets others.
AT_MOST = 500


@dataclass(frozen=True, slots=True)
class BatchInsert:
    """An INSERT of many rows of one table in one statement; see `insert_many`."""

    statement: Insert
    columns: tuple[str, ...]

    def params(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """Turn rows into the statement's parameters. Raises KeyError, ValueError.

        Each row has a value for every column and nothing else.
        """
        given = list(rows)
        for row in given:
            if odd := set(row) - set(self.columns):
                raise ValueError(f"no column of this batch: {', '.join(sorted(odd))}")
        return {name: [row[name] for row in given] for name in self.columns}

    def parts(
        self, rows: Sequence[Mapping[str, Any]], *, at_most: int = AT_MOST
    ) -> list[dict[str, list[Any]]]:
        """Turn rows into the parameters of as many statements as they need."""
        if at_most < 1:
            raise ValueError("at_most must be at least 1")
        return [
            self.params(rows[first : first + at_most])
            for first in range(0, len(rows), at_most)
        ]


def insert_many(
    table: Table, columns: Sequence[str] = (), *, unless_there: bool = False
) -> BatchInsert:
    """Make the statement `INSERT .. SELECT .. FROM unnest(..)` for some columns.

    All of the table's by default. With `unless_there` rows whose key is taken are left
    out. Make it once: SQLAlchemy keeps what it compiles by the statement. Raises
    TypeError for columns of JSON, of which CockroachDB has no arrays.

        ADD = insert_many(ledger_entries)
        await database.execute("eu", ADD.statement, ADD.params(rows))
    """
    chosen = [table.c[name] for name in columns or table.c.keys()]
    for one in chosen:
        if isinstance(one.type, JSON):
            raise TypeError(f"{table.name}.{one.name} is JSON, which has no arrays")
    given = (
        func.unnest(*(bindparam(one.name, type_=_array(one)) for one in chosen))
        .table_valued(*(named(one.name, _sent_as(one)) for one in chosen))
        .render_derived(name="given")
    )
    begin = insert_unless_there if unless_there else insert
    names = [one.name for one in chosen]
    values = [
        cast(given.c[one.name], one.type)
        if isinstance(one.type, Region)
        else given.c[one.name]
        for one in chosen
    ]
    statement = begin(table).from_select(names, select(*values), include_defaults=False)
    return BatchInsert(statement, tuple(names))


def _sent_as(column: ColumnElement[Any]) -> TypeEngine[Any]:
    # CockroachDB's regions are an enum, whose arrays no driver knows.
    return Text() if isinstance(column.type, Region) else column.type


def _array(column: ColumnElement[Any]) -> ARRAY[Any]:
    return ARRAY(_sent_as(column))


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Make `column = ANY(:name)`: one parameter, a list, however many keys."""
    return column == any_(bindparam(name, type_=ARRAY(column.type)))
