"""Drills: what a disaster costs, measured against what each solution promises."""

from cockroach.drills.errors import (
    DrillError,
    DrillUnavailableError,
    HistoryError,
    TargetsError,
)
from cockroach.drills.targets import Target, load_targets

__all__ = [
    "DrillError",
    "DrillUnavailableError",
    "HistoryError",
    "Target",
    "TargetsError",
    "load_targets",
]
