"""The table that a drill writes and compares: made, filled, read back."""

from __future__ import annotations

import time
from collections.abc import Iterator

from cockroach.drills.records import content
from cockroach.drills.site import Session, Site

_SCHEMA = """
create table drill_rows (number bigint primary key, content text not null);
create table drill_probe (content text not null);
"""


def make(site: Site, *, seed: int, rows: int) -> dict[int, float]:
    """Make the tables with the first rows; give them as acknowledged."""
    with site.session() as session:
        session.execute(_SCHEMA)
        return load(session, seed=seed, rows=rows)


def load(session: Session, *, seed: int, rows: int) -> dict[int, float]:
    """Write the first rows; give them as acknowledged."""
    with session.cursor().copy("copy drill_rows from stdin") as copy:
        for number in range(rows):
            copy.write_row((number, content(seed, number)))
    at = time.monotonic()
    session.execute("analyze drill_rows")
    return dict.fromkeys(range(rows), at)


def read(session: Session) -> Iterator[tuple[int, str]]:
    """Give every row, number and content."""
    query = "copy (select number, content from drill_rows) to stdout"
    with session.cursor().copy(query) as copy:
        for number, found in copy.rows():
            yield int(number), str(found)


def size(site: Site) -> int:
    """Give how many bytes the database takes on disk."""
    return int(site.ask("select pg_database_size(current_database())"))


def put_back(session: Session, rows: Iterator[tuple[int, str]]) -> int:
    """Insert those of the rows that are not there; give how many these were."""
    session.execute("create temporary table back (like drill_rows)")
    with session.cursor().copy("copy back from stdin") as copy:
        for row in rows:
            copy.write_row(row)
    done = session.execute(
        "insert into drill_rows select * from back on conflict do nothing"
    )
    return done.rowcount
