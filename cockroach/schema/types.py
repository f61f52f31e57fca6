"""The column types that differ between the databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from cockroach.topology import REGIONS


class Region(TypeDecorator[str]):
    """A region's name: CockroachDB's region enum there, text in PostgreSQL.

    PostgreSQL must have text because postgres_fdw does not ship comparisons of an
    enum. CockroachDB refuses to compare its enum with a parameter cast to text, so
    the parameter has to be cast to the enum.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose by dialect."""
        if dialect.name == "cockroachdb":
            return postgresql.ENUM(
                *REGIONS, name="crdb_internal_region", create_type=False
            )
        return Text()
