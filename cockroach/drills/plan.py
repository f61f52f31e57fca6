"""How a drill is carried out, and what one round of it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cockroach.drills.detect import Patience
from cockroach.drills.faults import FaultName
from cockroach.drills.judge import Judgement
from cockroach.drills.writing import PROGRAM

MOST_ROWS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write and when to strike; times in seconds. Raises ValueError.

    `sizes` are the rows that are there before a round begins. `before` is how long
    the writer writes before the fault at least, `day_part` how far into its interval
    a backup's fault comes (0 to 1), `after` how long it writes once it can again.
    """

    sizes: tuple[int, ...] = (5_000, 100_000)
    rate: float = 50.0
    sessions: int = 8
    rtt_ms: float = 80.0
    before: float = 1.5
    day_part: float = 0.25
    after: float = 0.5
    give_up: float = 30.0
    seed: int = 7
    fault: FaultName = "kill"
    patience: Patience = field(default_factory=Patience)
    writer: Sequence[str] = PROGRAM

    def __post_init__(self) -> None:
        if not self.sizes or not all(1 <= one <= MOST_ROWS for one in self.sizes):
            raise ValueError(f"sizes are 1 to {MOST_ROWS} rows")
        if not 1 <= self.rate <= 1000 or not 1 <= self.sessions <= 16:
            raise ValueError("the rate is 1 to 1000 a second, sessions are 1 to 16")
        if not 0 <= self.day_part <= 1:
            raise ValueError("the part of a day is 0 to 1")
        if min(self.before, self.after, self.rtt_ms) < 0 or self.give_up <= 0:
            raise ValueError("times are not below 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One round: what was judged, its phases, and what makes it prove nothing.

    `recovery_s` is the part of the RTO that may grow with the data, `size_bytes` the
    data's size at the fault.
    """

    rows: int
    size_bytes: int
    acknowledged: int
    judgement: Judgement
    recovery_s: float
    phases: Sequence[dict[str, Any]]
    trace_id: str
    doubts: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Give the round as plain JSON values."""
        found = self.judgement
        rto = found.rto_s
        return {
            "rows": self.rows,
            "size_bytes": self.size_bytes,
            "acknowledged": self.acknowledged,
            "rpo_s": round(found.rpo_s, 3),
            "lost_rows": len(found.lost),
            "altered_rows": len(found.altered),
            "foreign_rows": len(found.foreign),
            "rto_s": None if rto is None else round(rto, 3),
            "phases": list(self.phases),
            "verdict": found.verdict,
            "reasons": list(found.reasons),
            "valid": not self.doubts,
            "invalid_reasons": list(self.doubts),
            "trace_id": self.trace_id,
            **self.facts,
        }
