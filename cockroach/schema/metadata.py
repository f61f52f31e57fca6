"""SQLAlchemy's tables, made from the declarations: what statements are written with."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.types import TypeEngine

from cockroach.schema.declare import (
    REGION_COLUMN,
    Column,
    Global,
    RegionalByRow,
    RegionalByTable,
    SchemaSpec,
    TableSpec,
    Unplaced,
)
from cockroach.schema.types import Region

#: What `Table.info["locality"]` says.
REGIONAL = "regional"
GLOBAL = "global"
ONE_REGION = "one region"
NOWHERE = "nowhere"

_LOCALITIES = {
    RegionalByRow: REGIONAL,
    Global: GLOBAL,
    RegionalByTable: ONE_REGION,
    Unplaced: NOWHERE,
}
_NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(referred_table_name)s_fk",
    "uq": "%(table_name)s_%(constraint_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


@cache
def metadata(schema: SchemaSpec) -> MetaData:
    """Make the tables of a schema; the same ones at every call.

    `Table.info` has the `locality` by name and the `spec` it was made from.
    """
    made = MetaData(naming_convention=_NAMING)
    for spec in schema.tables:
        _table(spec, made)
    return made


def _table(spec: TableSpec, into: MetaData) -> Table:
    columns = [_column(column) for column in spec.columns]
    if spec.regional:
        region = SqlColumn(REGION_COLUMN, Region, nullable=False)
        columns.insert(0, region)
    return Table(
        spec.name,
        into,
        *columns,
        PrimaryKeyConstraint(*spec.key),
        *(UniqueConstraint(*u.columns, name=u.name) for u in spec.uniques),
        *(CheckConstraint(c.condition, name=c.name) for c in spec.checks),
        *(
            ForeignKeyConstraint(
                f.columns, [f"{f.table}.{name}" for name in f.referred]
            )
            for f in spec.foreign_keys
        ),
        info={"locality": _LOCALITIES[type(spec.locality)], "spec": spec},
    )


def _column(column: Column) -> SqlColumn[Any]:
    counted = (Identity(always=False),) if column.kind == "identity" else ()
    default = None if column.default is None else text(str(column.default))
    return SqlColumn(
        column.name,
        _type(column.kind),
        *counted,
        nullable=column.null,
        server_default=default,
        autoincrement="auto" if counted else False,
    )


def _type(kind: str) -> TypeEngine[Any]:
    types: dict[str, TypeEngine[Any]] = {
        "text": Text(),
        "uuid": Uuid(),
        "bigint": BigInteger(),
        "identity": BigInteger(),
        "timestamp": DateTime(timezone=True),
        "jsonb": JSONB(),
        "inet": INET(),
    }
    return types[kind]
