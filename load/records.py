"""What became of each journey: one record, one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["success", "business", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One journey, timed from the moment it was meant to start. Epoch seconds."""

    journey: str
    home: str
    dialled: str
    away: bool
    intended_s: float
    sent_s: float
    done_s: float
    latency_ms: float
    code: str
    outcome: Outcome
    reason: str = ""
    degraded: bool = False
    degraded_reasons: tuple[str, ...] = ()
    # Age of the oldest stale part, milliseconds.
    stale_ms: int = 0
    category: str = ""
    order_id: str = ""
    order_state: str = ""
    trace_id: str = ""

    def to_json(self) -> str:
        """One line, without the line's end."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Record:
        """Build one from a parsed line; fields of newer writers are left out."""
        known = {key: document[key] for key in cls.__slots__ if key in document}
        known["degraded_reasons"] = tuple(known.get("degraded_reasons", ()))
        return cls(**known)


def read(path: Path) -> Iterator[Record]:
    """Read the records of a file; a last line that is cut short is left out."""
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield Record.from_json(json.loads(line))
