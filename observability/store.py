"""The read side of a trace store, safe to use while the collector writes."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from observability.spans import KINDS, STATUSES, LazyAttributes, Span, decode_events

_COLUMNS = """
SELECT s.trace_id, s.span_id, s.parent_id, s.name, s.kind, s.start_ns, s.end_ns,
    s.status, s.events, s.received_ns, s.raw, r.service, r.instance, r.region, r.zone
FROM spans s JOIN resources r ON r.id = s.resource"""
_FAR = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCounts:
    """What the collector took and what it could not keep.

    A verdict over a window is whole when nothing was `refused`, `lost` or `late`
    in it and `pruned_until_ns` lies before it.
    """

    spans: int = 0
    received: int = 0
    late: int = 0
    refused: int = 0
    lost: int = 0
    malformed: int = 0
    pruned: int = 0
    pruned_until_ns: int = 0

    @property
    def dropped(self) -> int:
        """Spans that arrived and were not written."""
        return self.refused + self.lost


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """One trace in a list: its root, how long it took, what it touched."""

    trace_id: str
    root: str
    service: str
    start_ns: int
    duration_ms: float
    status: str
    spans: int
    errors: int
    services: tuple[str, ...] = field(default=())


class TraceStore:
    """Reads the collector's file; raises FileNotFoundError when there is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(path)
        self._uri = f"{path.resolve().as_uri()}?mode=ro"

    def spans(
        self,
        since_ns: int = 0,
        until_ns: int = _FAR,
        *,
        service: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> list[Span]:
        """Return the spans that started in [since, until), in order of their start."""
        where, values = ["s.start_ns >= ?", "s.start_ns < ?"], [since_ns, until_ns]
        return self._read(where, values, service=service, name=name, limit=limit)

    def trace(self, trace_id: str) -> list[Span]:
        """Return one trace in order of start; empty when it is not known.

        The beginning of an id is enough; of several traces one is taken.
        """
        digits = trace_id.strip().lower()
        try:
            low = bytes.fromhex(digits.ljust(32, "0"))
            high = bytes.fromhex(digits.ljust(32, "f"))
        except ValueError:
            return []
        with closing(self._open()) as db:
            query = "SELECT trace_id FROM spans WHERE trace_id BETWEEN ? AND ? LIMIT 1"
            found = db.execute(query, (low, high)).fetchone()
        if found is None:
            return []
        # Few enough to decode at once, and plain dictionaries are easier to print.
        return [
            replace(span, attributes=dict(span.attributes))
            for span in self._read(["s.trace_id = ?"], [found[0]])
        ]

    def find(
        self,
        *,
        service: str | None = None,
        operation: str | None = None,
        min_ms: float | None = None,
        max_ms: float | None = None,
        status: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        since_ns: int = 0,
        until_ns: int = _FAR,
        min_spans: int = 1,
        limit: int = 20,
    ) -> list[TraceSummary]:
        """Return traces with a span that fits all conditions, the newest first.

        Traces of fewer than `min_spans` spans are left out.
        `status` is OK, ERROR or UNSET; attribute values are compared as text.
        Raises ValueError for another status.
        """
        where = ["s.start_ns >= ?", "s.start_ns < ?"]
        values: list[Any] = [since_ns, until_ns]
        if min_ms is not None:
            where.append("s.end_ns - s.start_ns >= ?")
            values.append(int(min_ms * 1e6))
        if max_ms is not None:
            where.append("s.end_ns - s.start_ns <= ?")
            values.append(int(max_ms * 1e6))
        if status is not None:
            where.append("s.status = ?")
            values.append(STATUSES.index(status))
        wanted = {key: str(value) for key, value in (attributes or {}).items()}
        found: dict[str, TraceSummary] = {}
        small: set[str] = set()
        for span in self._iterate(
            where, values, service=service, name=operation, newest_first=True
        ):
            if span.trace_id in found or span.trace_id in small:
                continue
            if all(str(span.attributes.get(k)) == v for k, v in wanted.items()):
                summary = summarise(self.trace(span.trace_id))
                if summary.spans < min_spans:
                    small.add(span.trace_id)
                    continue
                found[span.trace_id] = summary
                if len(found) >= limit:
                    break
        return list(found.values())

    def counts(self) -> StoreCounts:
        """Return the collector's account."""
        with closing(self._open()) as db:
            spans = db.execute("SELECT count(*) FROM spans").fetchone()[0]
            found = dict(db.execute("SELECT name, value FROM counts").fetchall())
        return StoreCounts(spans=spans, **found)

    def services(self) -> list[str]:
        """Return the names of the services that sent spans."""
        with closing(self._open()) as db:
            rows = db.execute("SELECT DISTINCT service FROM resources ORDER BY 1")
            return [row[0] for row in rows]

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._uri, uri=True, timeout=5)

    def _read(
        self, where: Collection[str], values: Collection[Any], **options: Any
    ) -> list[Span]:
        return list(self._iterate(where, values, **options))

    def _iterate(
        self,
        where: Collection[str],
        values: Collection[Any],
        *,
        service: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Span]:
        conditions, bound = list(where), list(values)
        for column, value in (("r.service", service), ("s.name", name)):
            if value is not None:
                conditions.append(f"{column} = ?")
                bound.append(value)
        # Conditions are this module's own text; every value is bound.
        query = f"{_COLUMNS} WHERE {' AND '.join(conditions)} ORDER BY s.start_ns"
        query += " DESC" if newest_first else ""
        if limit is not None:
            query += " LIMIT ?"
            bound.append(limit)
        with closing(self._open()) as db:
            for row in db.execute(query, bound):
                yield _span(row)


def summarise(spans: Collection[Span]) -> TraceSummary:
    """Return the summary of one trace's spans, of which there must be one or more."""
    known = {span.span_id for span in spans}
    tops = [span for span in spans if span.parent_id not in known]
    root = min(
        tops or spans, key=lambda span: (span.parent_id is not None, span.start_ns)
    )
    start = min(span.start_ns for span in spans)
    return TraceSummary(
        trace_id=root.trace_id,
        root=root.name,
        service=root.service,
        status=root.status,
        start_ns=start,
        duration_ms=(max(span.end_ns for span in spans) - start) / 1e6,
        spans=len(spans),
        errors=sum(span.status == "ERROR" for span in spans),
        services=tuple(sorted({span.service for span in spans})),
    )


def _span(row: tuple[Any, ...]) -> Span:
    raw = row[10]
    return Span(
        trace_id=row[0].hex(),
        span_id=row[1].hex(),
        parent_id=row[2].hex() if row[2] else None,
        name=row[3],
        kind=KINDS[row[4]],
        start_ns=row[5],
        end_ns=row[6],
        status=STATUSES[row[7]],
        events=decode_events(raw) if row[8] else (),
        received_ns=row[9],
        attributes=LazyAttributes(raw),
        service=row[11],
        instance=row[12],
        region=row[13],
        zone=row[14],
    )
