"""What is known of an experiment that runs, folded from the lines that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Which run of which: the second of two, say; of one seed or of several."""

    experiment: str
    profile: str
    seed: int
    place: int = 1
    of: int = 1
    seeds: int = 1

    @property
    def title(self) -> str:
        """Its profile, and its seed where there are several."""
        return f"seed {self.seed} {self.profile}" if self.seeds > 1 else self.profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A run so far; replaced as a whole, so that whoever draws sees one moment."""

    phase: str = ""
    text: str = ""
    # When the load began, epoch; 0 as long as it has not.
    start_s: float = 0.0
    numbers: Mapping[str, Any] = field(default_factory=dict)
    fault: Mapping[str, Any] = field(default_factory=dict)
    breakers: Mapping[str, Any] = field(default_factory=dict)
    # One for each second that is over: `at_s`, `p50_ms`, `p95_ms`.
    seconds: tuple[Mapping[str, Any], ...] = ()

    def heard(self, line: Mapping[str, Any]) -> Watched:
        """Take one line of the run's progress."""
        told = replace(self, phase=str(line["phase"]), text=str(line["text"]))
        if "fault" in line:
            told = replace(told, fault={**self.fault, **line["fault"]})
        if "breakers" in line:
            told = replace(told, breakers=line["breakers"])
        if "seconds" in line:
            told = replace(told, seconds=(*self.seconds, *line["seconds"]))
        if "at_s" in line:
            told = replace(
                told,
                numbers=line,
                start_s=float(line.get("time_s", 0.0)) - float(line["at_s"]),
            )
        return told

    def points(self, figure: str) -> list[tuple[float, float | None]]:
        """Give one figure over the run so far: the second, and its value."""
        return [(float(one["at_s"]), one.get(figure)) for one in self.seconds]

    @property
    def of_s(self) -> float:
        """How long the load is to last."""
        return float(self.numbers.get("of_s") or 0.0)

    def elapsed_s(self, now_s: float) -> float:
        """How long the load has lasted by now."""
        return min(self.of_s, max(0.0, now_s - self.start_s)) if self.start_s else 0.0
