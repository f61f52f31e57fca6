"""Where the rows of one table are: ranges on CockroachDB, partitions on PostgreSQL.

Reads only. Keys are told without their values. On CockroachDB a range's region is its
leaseholder's; on PostgreSQL a partition belongs to the server that has its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cockroach.plan_tree import distinct
from cockroach.redaction import without_values

Role = Literal["leaseholder", "owner", "replica", "foreign"]
Session = psycopg.Connection[Any]

# More than half of what a table is asked is too much for one of several parts, once
# there was enough to judge by.
_HOT_SHARE = 0.5
_HOT_LEAST = 1000
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")
_REGION_BOUND = re.compile(r"IN \('([^']+)'\)")
_IN_DOUBLE_QUOTES = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)

_TABLES = """\
SELECT DISTINCT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_extension')
ORDER BY c.relname"""
_COCKROACH_TABLES = """\
SELECT table_name FROM information_schema.tables
WHERE table_schema NOT IN
('pg_catalog', 'information_schema', 'pg_extension', 'crdb_internal')
AND table_type = 'BASE TABLE' ORDER BY table_name"""
# A table without partitions stands for itself; a foreign one has its rows elsewhere.
_PARTS = """\
WITH root AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relname = %(table)s AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
), parts AS (
  SELECT t.relid::oid AS oid FROM root, pg_partition_tree(root.oid) t WHERE t.isleaf
  UNION SELECT oid FROM root WHERE NOT EXISTS (
    SELECT 1 FROM pg_partition_tree(root.oid) t WHERE t.isleaf)
)
SELECT c.relname AS name, c.relkind = 'f' AS foreign, s.srvname AS server,
  n.nspname AS schema, pg_get_expr(c.relpartbound, c.oid) AS bound,
  greatest(c.reltuples::bigint, st.n_live_tup, 0) AS rows,
  pg_total_relation_size(c.oid) AS size_bytes,
  coalesce(st.seq_scan, 0) + coalesce(st.idx_scan, 0) AS reads,
  coalesce(st.n_tup_ins + st.n_tup_upd + st.n_tup_del, 0) AS writes
FROM parts JOIN pg_class c ON c.oid = parts.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
LEFT JOIN pg_stat_all_tables st ON st.relid = c.oid
ORDER BY c.relname"""
_CONTENDED = """\
SELECT index_name, num_contention_events AS events
FROM crdb_internal.cluster_contended_indexes WHERE table_name = %s"""


class UnknownTableError(LookupError):
    """The database has no such table."""

    def __init__(self, table: str, known: Sequence[str]) -> None:
        self.known = tuple(known)
        listed = ", ".join(known) or "none"
        super().__init__(f"unknown table {table!r}; the tables are: {listed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """One part of a table, at one moment.

    `name` is a range's id or a partition's name, `region` and `zone` where it is
    served, `copies` the regions that have one. `reads` (scans) and `writes` (rows)
    count from when the server began to. What a database does not tell is None.
    """

    name: str
    role: Role
    region: str = ""
    zone: str = ""
    copies: tuple[str, ...] = ()
    start: str = ""
    rows: int | None = None
    size_bytes: int | None = None
    reads: int | None = None
    writes: int | None = None
    split_until: str | None = None
    hot: bool = False

    @property
    def asked(self) -> int:
        """Reads and writes together."""
        return (self.reads or 0) + (self.writes or 0)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def check_table(table: str, known: Sequence[str]) -> str:
    """Return the name of a table that there is. Raises UnknownTableError.

    Names that would need quotes are refused, though a database might have them.
    """
    if table not in known or _IDENTIFIER.fullmatch(table) is None:
        raise UnknownTableError(table, known)
    return table


def is_cockroach(session: Session) -> bool:
    """Tell CockroachDB from PostgreSQL, without asking."""
    return session.info.parameter_status("crdb_version") is not None


def tables(session: Session) -> tuple[str, ...]:
    """List the tables of a database, by name. Raises psycopg.Error."""
    query = _COCKROACH_TABLES if is_cockroach(session) else _TABLES
    return tuple(str(row[0]) for row in session.execute(query).fetchall())


def partitions(session: Session, table: str, *, region: str = "") -> list[Range]:
    """Read the partitions of a table as one PostgreSQL server has them.

    `region` is where the server stands, for tables that are not divided by region.
    Raises psycopg.Error.
    """
    with session.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_PARTS, {"table": table}).fetchall()
    return [_partition(row, region) for row in rows]


def ranges(session: Session, table: str) -> list[Range]:
    """Read the ranges of a table of CockroachDB. Raises psycopg.Error.

    It asks every node that has one: not for every second of the day.
    """
    query = sql.SQL("SHOW RANGES FROM TABLE {} WITH DETAILS")
    with session.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query.format(sql.Identifier(table))).fetchall()
    return [range_of(row) for row in rows]


def contended(session: Session, table: str) -> dict[str, int]:
    """Count the waits for each other's locks by index, on CockroachDB.

    Empty where the user may not see them.
    """
    try:
        rows = session.execute(_CONTENDED, [table]).fetchall()
    except psycopg.Error:
        return {}
    return {str(index): int(events) for index, events in rows}


def range_of(row: Mapping[str, Any]) -> Range:
    """Read one row of SHOW RANGES .. WITH DETAILS; columns may be missing."""
    locality = _locality(row.get("lease_holder_locality"))
    stats = row.get("span_stats") or {}
    size = stats.get("live_bytes")
    if size is None and row.get("range_size_mb") is not None:
        size = float(row["range_size_mb"]) * 1e6
    until = row.get("split_enforced_until")
    return Range(
        name=str(row["range_id"]),
        role="leaseholder",
        region=locality.get("region", ""),
        zone=locality.get("zone", ""),
        copies=distinct(
            _locality(one).get("region", "")
            for one in row.get("replica_localities") or ()
        ),
        start=key_without_values(str(row.get("start_key") or "")),
        size_bytes=None if size is None else round(float(size)),
        split_until=None if until is None else str(until),
    )


def key_without_values(key: str) -> str:
    """Put `?` for every value in a printed key; the names of regions stay."""
    return without_values(_IN_DOUBLE_QUOTES.sub("?", key))


def since(before: Iterable[Range], after: Iterable[Range]) -> list[Range]:
    """Give the later ones with what was read and written between the two looks."""
    was = {(one.name, one.region): one for one in before}
    told = []
    for one in after:
        old = was.get((one.name, one.region))
        if old is not None and one.reads is not None and one.writes is not None:
            # Less than before: the server was restarted and counts anew.
            one = replace(  # noqa: PLW2901 - the same part, less what was before
                one,
                reads=max(0, one.reads - (old.reads or 0)),
                writes=max(0, one.writes - (old.writes or 0)),
            )
        told.append(one)
    return told


def with_hot(parts: Sequence[Range], *, least: int = _HOT_LEAST) -> list[Range]:
    """Mark the part that took more than half of all reads and writes.

    Of fewer than two parts, or of fewer than `least` reads and writes, none is.
    """
    total = sum(one.asked for one in parts)
    judged = len(parts) > 1 and total >= least
    return [
        replace(one, hot=judged and one.asked > total * _HOT_SHARE) for one in parts
    ]


def _partition(row: Mapping[str, Any], region: str) -> Range:
    bound = _REGION_BOUND.search(row["bound"] or "")
    if row["foreign"]:
        place = bound[1] if bound else str(row["server"])
        return Range(name=row["name"], role="foreign", region=place, copies=(place,))
    place = bound[1] if bound else region
    return Range(
        name=row["name"],
        role="owner",
        region=place,
        copies=(place,) if place else (),
        rows=int(row["rows"]),
        size_bytes=int(row["size_bytes"]),
        reads=int(row["reads"]),
        writes=int(row["writes"]),
    )


def _locality(text: object) -> dict[str, str]:
    """Read "region=eu,zone=a"."""
    pairs = (one.partition("=") for one in str(text or "").split(","))
    return {key.strip(): value.strip() for key, _, value in pairs if value}
