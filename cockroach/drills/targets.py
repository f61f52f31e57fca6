"""What each solution promises: a file that names owner, cost and rehearsal interval."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cockroach.drills.errors import TargetsError

DEFAULT_FILE = Path(__file__).with_name("targets.toml")
_WORDS = ("solution", "owner", "cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One solution's promise; times in seconds as promised, not as scaled.

    `interval_s` is how often data leaves for the other place, 0 for continuously;
    `time_scale` divides it and the RPO in a drill. Raises TargetsError.
    """

    name: str
    solution: str
    owner: str
    cost: str
    rehearse_every_days: float
    interval_s: float
    rpo_s: float
    rto_s: float
    time_scale: float
    in_use: bool

    def __post_init__(self) -> None:
        for word in _WORDS:
            value = getattr(self, word)
            if not isinstance(value, str) or not value.strip():
                raise TargetsError(f"{self.name}: {word} must say something")
        if not isinstance(self.in_use, bool):
            raise TargetsError(f"{self.name}: in_use is true or false")
        for number in ("interval_s", "rpo_s"):
            self._at_least_nothing(number)
        for number in ("rehearse_every_days", "rto_s", "time_scale"):
            if self._at_least_nothing(number) == 0:
                raise TargetsError(f"{self.name}: {number} must be above 0")
        if self.interval_s > self.rpo_s:
            raise TargetsError(
                f"{self.name}: data that leaves every {self.interval_s:g} s cannot "
                f"promise an RPO of {self.rpo_s:g} s"
            )

    def _at_least_nothing(self, name: str) -> float:
        value = getattr(self, name)
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not math.isfinite(value) or value < 0:
            raise TargetsError(f"{self.name}: {name} must be a number of 0 or more")
        return float(value)

    @property
    def scaled_rpo_s(self) -> float:
        """The RPO that a drill is judged by."""
        return self.rpo_s / self.time_scale

    @property
    def scaled_interval_s(self) -> float:
        """How often data leaves for the other place in a drill."""
        return self.interval_s / self.time_scale


def load_targets(path: Path | None = None) -> Mapping[str, Target]:
    """Read a targets file, ours when none is named. Raises TargetsError.

    A file has a table for each drill it speaks of, with every key and no other.
    """
    path = path or DEFAULT_FILE
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise TargetsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise TargetsError(f"{path} is no TOML: {error}") from error
    try:
        found = {name: _target(name, values) for name, values in document.items()}
    except TargetsError as error:
        raise TargetsError(f"{path}: {error}") from error
    return MappingProxyType(found)


def _target(name: str, values: Any) -> Target:
    if not isinstance(values, dict):
        raise TargetsError(f"{name} is not a table")
    known = {field.name for field in fields(Target)} - {"name"}
    if unknown := sorted(values.keys() - known):
        raise TargetsError(f"{name}: unknown key {unknown[0]!r}")
    if missing := sorted(known - values.keys()):
        raise TargetsError(f"{name}: no {missing[0]!r}")
    return Target(name=name, **values)
