"""The rows a drill writes, and the record of which of them were acknowledged.

A row's content follows from its number and the drill's seed, so that a restored row
can be compared without the one it was copied from.

The record is a text file of lines `t NUMBER` (the row was sent) and
`a NUMBER TIME` (its commit was acknowledged). The second is on disk before anybody
is told; a line that was cut off by a crash is no line.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

# Long enough that a few thousand rows are megabytes, short enough to stay in place.
_CONTENT_BYTES = 400


def content(seed: int, number: int) -> str:
    """Give the content of a row: hexadecimal digits that do not compress well."""
    key = f"{seed}:{number}".encode()
    return hashlib.shake_128(key).hexdigest(_CONTENT_BYTES // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a record says: rows that were sent, and when which were acknowledged."""

    sent: frozenset[int] = frozenset()
    acknowledged: Mapping[int, float] = field(default_factory=dict)


class RecordFile:
    """Writes a record; threads may share it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def sent(self, number: int) -> None:
        """Say that a row is about to be sent."""
        self._write(f"t {number}\n")

    def acknowledged(self, number: int, at: float) -> None:
        """Say that a row's commit was acknowledged; on disk when this returns."""
        self._write(f"a {number} {at!r}\n")
        os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, line: str) -> None:
        data = line.encode()
        with self._lock:
            while data:
                data = data[os.write(self._handle, data) :]


def read_record(path: Path) -> Record:
    """Read a record, also while it is written; one that is not there is empty.

    Raises ValueError for a line that no writer of ours wrote.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Record()
    sent = set()
    acknowledged = {}
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        match line.split():
            case ["t", number]:
                sent.add(int(number))
            case ["a", number, at]:
                acknowledged[int(number)] = float(at)
            case _:
                raise ValueError(f"{path}: not a line of a record: {line!r}")
    return Record(sent=frozenset(sent), acknowledged=acknowledged)
