"""INSERT as this data layer writes it: compiled once, and never with a target.

SQLAlchemy 2.0 compiles PostgreSQL's INSERT anew at every execution, because a target
of ON CONFLICT may hold anything. Ours has none: the embedded cluster knows none over
its regions, and the same statements run there and on CockroachDB.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import dml


class _DoNothing(dml.OnConflictDoNothing):
    inherit_cache = True
    # Without a target nothing tells one from another, and the key needs no part of it.
    _traverse_internals: Any = ()


class Insert(dml.Insert):
    """An INSERT of one table; see `insert`."""

    inherit_cache = True


class InsertUnlessThere(Insert):
    """An INSERT that leaves taken keys alone; see `insert_unless_there`."""

    inherit_cache = True
    _post_values_clause = _DoNothing()


def insert(table: Table) -> Insert:
    """Begin an INSERT whose compiled form is kept by the engine."""
    return Insert(table)


def insert_unless_there(table: Table) -> InsertUnlessThere:
    """Begin the same, leaving out rows whose key is taken: ON CONFLICT DO NOTHING."""
    return InsertUnlessThere(table)
