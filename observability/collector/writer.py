"""The one writer of a trace store: batches from memory into SQLite.

The store is a cache of what processes sent, so a power cut may lose it; a reader
of the same file never waits for the writer.
"""

import contextlib
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from time import time_ns
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from observability import names
from observability.spans import decode_attributes

SCHEMA_VERSION = 1
LATE_AFTER_NS = 5_000_000_000
PRUNE_BATCH = 20_000
COUNTS = (
    "received",
    "late",  # more than 5 s after they ended
    "refused",  # the writer was behind
    "lost",  # the file could not be written
    "malformed",  # requests, not spans
    "pruned",  # the oldest, to keep the bound
    "pruned_until_ns",
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    id INTEGER PRIMARY KEY, service TEXT, instance TEXT, region TEXT, zone TEXT,
    raw BLOB UNIQUE);
CREATE TABLE IF NOT EXISTS spans (
    id INTEGER PRIMARY KEY, trace_id BLOB, span_id BLOB, parent_id BLOB, name TEXT,
    kind INTEGER, resource INTEGER, start_ns INTEGER, end_ns INTEGER,
    status INTEGER, events INTEGER, received_ns INTEGER, raw BLOB);
CREATE INDEX IF NOT EXISTS spans_by_trace ON spans (trace_id);
CREATE INDEX IF NOT EXISTS spans_by_start ON spans (start_ns);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER);
"""
_INSERT = """
INSERT INTO spans (trace_id, span_id, parent_id, name, kind, resource, start_ns,
    end_ns, status, events, received_ns, raw) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"""


class StoreVersionError(RuntimeError):
    """The file has another layout than this code."""


class StoreWriter:
    """Takes export requests from any thread and writes them from its own.

    At most `max_spans` are kept, the oldest give way; at most `max_waiting` spans
    wait in memory, what comes beyond is refused and counted.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_spans: int = 2_000_000,
        max_waiting: int = 200_000,
        period: float = 0.25,
    ) -> None:
        self._max_spans = max_spans
        self._max_waiting = max_waiting
        self._period = period
        self._waiting: deque[tuple[int, ExportTraceServiceRequest]] = deque()
        self._waiting_spans = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._resources: dict[bytes, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, SCHEMA_VERSION}:
            self._db.close()
            message = f"{path} was written by another version ({version})"
            raise StoreVersionError(message)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA cache_size = -16384")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._counts = {
            **dict.fromkeys(COUNTS, 0),
            **dict(self._db.execute("SELECT name, value FROM counts").fetchall()),
        }
        self._kept = self._db.execute("SELECT count(*) FROM spans").fetchone()[0]
        self._saved: dict[str, int] = {}
        self._thread = threading.Thread(
            target=self._run, name="seawall-store", daemon=True
        )
        self._thread.start()

    def put(self, request: ExportTraceServiceRequest) -> bool:
        """Queue a request; false when it had to be refused."""
        spans = sum(
            len(scope.spans)
            for resource in request.resource_spans
            for scope in resource.scope_spans
        )
        with self._lock:
            if self._closing or self._waiting_spans + spans > self._max_waiting:
                self._counts["refused"] += spans
                return False
            self._waiting.append((time_ns(), request))
            self._waiting_spans += spans
        return True

    def malformed(self) -> None:
        """Count a request that was no OTLP."""
        with self._lock:
            self._counts["malformed"] += 1

    def close(self, timeout: float = 1.0) -> bool:
        """Write what waits and close; false when it took longer than `timeout`."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._period)
            closing = self._closing
            self._flush()
            if closing:
                self._db.close()
                return

    def _flush(self) -> None:
        with self._lock:
            batch = list(self._waiting)
            waiting = self._waiting_spans
            self._waiting.clear()
            self._waiting_spans = 0
        try:
            self._write(batch)
        except sqlite3.Error as error:
            # A full disk, mostly: what was in hand is lost and said to be.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._resources.clear()
            self._count({"lost": waiting})
            sys.stderr.write(f"collector: {waiting} spans lost: {error}\n")

    def _write(self, batch: list[tuple[int, ExportTraceServiceRequest]]) -> None:
        with self._lock:
            if not batch and self._counts == self._saved:
                return
        self._db.execute("BEGIN")
        rows = [row for item in batch for row in self._rows(*item)]
        if rows:
            self._db.executemany(_INSERT, rows)
        news = {
            "received": len(rows),
            "late": sum(row[10] - row[7] > LATE_AFTER_NS for row in rows),
            **self._prune(self._kept + len(rows) - self._max_spans),
        }
        with self._lock:
            counts = {key: old + news.get(key, 0) for key, old in self._counts.items()}
        self._db.executemany("REPLACE INTO counts VALUES (?,?)", counts.items())
        self._db.execute("COMMIT")
        self._kept += len(rows) - news.get("pruned", 0)
        self._count(news)
        self._saved = counts

    def _count(self, news: dict[str, int]) -> None:
        with self._lock:
            for key, more in news.items():
                self._counts[key] += more

    def _rows(
        self, received: int, request: ExportTraceServiceRequest
    ) -> Iterator[tuple[Any, ...]]:
        for group in request.resource_spans:
            resource = self._resource(group.resource)
            for scope in group.scope_spans:
                for span in scope.spans:
                    yield (
                        span.trace_id,
                        span.span_id,
                        span.parent_span_id or None,
                        span.name,
                        span.kind,
                        resource,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        span.status.code,
                        len(span.events),
                        received,
                        span.SerializeToString(),
                    )

    def _resource(self, message: Any) -> int:
        raw = message.SerializeToString(deterministic=True)
        known = self._resources.get(raw)
        if known is not None:
            return known
        found = decode_attributes(message.attributes)
        self._db.execute(
            "INSERT OR IGNORE INTO resources (service, instance, region, zone, raw)"
            " VALUES (?,?,?,?,?)",
            (
                str(found.get(names.SERVICE_NAME, "")),
                str(found.get(names.SERVICE_INSTANCE, "")),
                str(found.get(names.CLOUD_REGION, "")),
                str(found.get(names.CLOUD_ZONE, "")),
                raw,
            ),
        )
        query = "SELECT id FROM resources WHERE raw = ?"
        key = int(self._db.execute(query, (raw,)).fetchone()[0])
        self._resources[raw] = key
        return key

    def _prune(self, too_many: int) -> dict[str, int]:
        if too_many <= 0:
            return {}
        # A slice at a time, so that taking spans never waits for a long delete.
        last, received, count = self._db.execute(
            "SELECT max(id), max(received_ns), count(*) FROM"
            " (SELECT id, received_ns FROM spans ORDER BY id LIMIT ?)",
            (min(PRUNE_BATCH, too_many),),
        ).fetchone()
        self._db.execute("DELETE FROM spans WHERE id <= ?", (last,))
        until = self._counts["pruned_until_ns"]
        return {"pruned": count, "pruned_until_ns": max(0, received - until)}
