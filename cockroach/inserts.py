"""INSERT as this data layer writes it: compiled once, and never with a target.

SQLAlchemy 2.0 compiles PostgreSQL's INSERT anew at every execution, because a target
of ON CONFLICT may hold anything. Ours has none: CockroachDB and the embedded cluster
both refuse a target here (the region is part of every key).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import dml


class _DoNothing(dml.OnConflictDoNothing):
    inherit_cache = True
    # Nothing tells one from another.
    _traverse_internals: ClassVar[list[Any]] = []  # type: ignore[misc]


class Insert(dml.Insert):
    """An INSERT of one table; see `insert`."""

    inherit_cache = True

    def unless_there(self) -> Self:
        """Leave out rows whose key is taken: ON CONFLICT DO NOTHING."""
        other = self._generate()
        other._post_values_clause = _DoNothing()  # noqa: SLF001 - a copy of ours
        return other


def insert(table: Table) -> Insert:
    """Begin an INSERT whose compiled form is kept by the engine."""
    return Insert(table)
