"""The events of one name that reached a trace store since the last look."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from observability.spans import SpanEvent, decode_events

# Whoever looks has other things to do: a store that is busy is asked again later.
PATIENCE_S = 0.05
_NEWEST = "SELECT coalesce(max(id), 0) FROM spans"
# By row id, so that a look costs what was added and not what is there. Few spans have
# events, and fewer name this one: only those leave the database.
_ADDED = """
SELECT r.instance, s.raw FROM spans s JOIN resources r ON r.id = s.resource
WHERE s.id > ? AND s.id <= ? AND s.events > 0 AND instr(s.raw, ?) > 0
ORDER BY s.id"""


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """One event, and the process on whose span it stands."""

    instance: str
    event: SpanEvent


class EventTail:
    """Reads on from where the last look ended; what was there before is left out.

    Spans come when they have ended, so events are not in order of their time. A look
    that fails loses nothing: the next one begins at the same place.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._uri = f"{path.resolve().as_uri()}?mode=ro"
        self._name = name
        self._at: int | None = None

    def begin(self) -> None:
        """Leave out what is there now. Raises sqlite3.Error."""
        if not self._path.exists():
            self._at = 0
            return
        with closing(self._open()) as db:
            self._at = int(db.execute(_NEWEST).fetchone()[0])

    def more(self) -> list[SeenEvent]:
        """Give what was added; the first look begins. Raises sqlite3.Error."""
        if self._at is None:
            self.begin()
            return []
        if not self._path.exists():
            return []
        with closing(self._open()) as db:
            newest = int(db.execute(_NEWEST).fetchone()[0])
            # Fewer than before: the file was begun anew.
            since = self._at if newest >= self._at else 0
            rows = db.execute(_ADDED, (since, newest, self._name.encode())).fetchall()
        self._at = newest
        return list(self._events(rows))

    def _events(self, rows: list[tuple[str, bytes]]) -> Iterator[SeenEvent]:
        for instance, raw in rows:
            for event in decode_events(raw):
                if event.name == self._name:
                    yield SeenEvent(instance, event)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._uri, uri=True, timeout=PATIENCE_S)
