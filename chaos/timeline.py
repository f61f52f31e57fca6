"""The phases of a run: as planned, and as they really came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Phase = Literal["exercise", "baseline", "fault", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long each phase is to last, in seconds."""

    exercise_s: float
    baseline_s: float
    fault_s: float
    after_s: float

    @property
    def duration_s(self) -> float:
        """All of them together."""
        return self.exercise_s + self.baseline_s + self.fault_s + self.after_s

    @property
    def fault_at_s(self) -> float:
        """When the fault begins, counted from the start of the load."""
        return self.exercise_s + self.baseline_s

    @property
    def fault_until_s(self) -> float:
        """When the fault ends, counted from the start of the load."""
        return self.fault_at_s + self.fault_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span of time, epoch seconds, the end left out."""

    since_s: float
    until_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return max(0.0, self.until_s - self.since_s)

    @property
    def since_ns(self) -> int:
        """Its beginning as spans count."""
        return int(self.since_s * 1e9)

    @property
    def until_ns(self) -> int:
        """Its end as spans count."""
        return int(self.until_s * 1e9)

    def holds_ns(self, time_ns: int) -> bool:
        """Whether a span's time lies in it."""
        return self.since_ns <= time_ns < self.until_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When it all happened, epoch seconds.

    The fault counts from the moment its last toxic was on until the first one was
    taken off; `gone_s` is when the last one was.
    """

    start_s: float
    baseline_s: float
    injecting_s: float
    in_force_s: float
    removing_s: float
    gone_s: float
    end_s: float

    @property
    def before(self) -> Window:
        """The baseline."""
        return Window(since_s=self.baseline_s, until_s=self.injecting_s)

    @property
    def during(self) -> Window:
        """The fault."""
        return Window(since_s=self.in_force_s, until_s=self.removing_s)

    @property
    def after(self) -> Window:
        """From the fault's removal to the end of the load."""
        return Window(since_s=self.gone_s, until_s=self.end_s)

    @property
    def whole(self) -> Window:
        """From the first arrival on."""
        return Window(since_s=self.start_s, until_s=self.end_s)

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read it back."""
        return cls(**document)
