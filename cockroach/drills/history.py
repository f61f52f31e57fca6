"""What was rehearsed when, and what is overdue.

One JSON object a line. A rehearsal counts when it was valid and passed: a drill that
failed has shown that the promise does not hold, and stays due until one passes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from cockroach.drills.errors import HistoryError
from cockroach.drills.targets import Target

_DAY_S = 86400.0
Standing = Literal["in time", "overdue", "failed", "never", "not in use"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """One drill that was run; `at` in seconds since 1970, figures as measured."""

    at: float
    name: str
    fault: str
    valid: bool
    verdict: str | None
    rpo_s: float | None
    lost_rows: int | None
    rto_s: float | None

    @property
    def counts(self) -> bool:
        """Whether it shows that the promise holds."""
        return self.valid and self.verdict == "pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """How a solution stands: its last run, and days until it is due (below 0: since).

    `due_in_days` is None where it was never rehearsed with success.
    """

    name: str
    standing: Standing
    due_in_days: float | None
    last: Rehearsal | None

    @property
    def overdue(self) -> bool:
        """Whether a rehearsal is missing."""
        return self.standing in {"overdue", "failed", "never"}


def remember(path: Path, rehearsal: Rehearsal) -> None:
    """Add a line; on disk when this returns. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(rehearsal)) + "\n"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+b") as file:
        # A line that a crash left unfinished must not swallow this one too.
        file.seek(file.read().rfind(b"\n") + 1)
        file.truncate()
        file.write(line.encode())
        file.flush()
        os.fsync(handle)


def recall(path: Path) -> tuple[Rehearsal, ...]:
    """Read all lines, oldest first; a last line cut off by a crash is left out.

    Raises HistoryError for any other line that cannot be read.
    """
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return ()
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(_rehearsal(line))
        except (ValueError, TypeError) as error:
            last = number == len(lines) and not line.endswith("\n")
            if last:
                break
            raise HistoryError(
                f"{path}, line {number} is no rehearsal: {error}"
            ) from error
    return tuple(sorted(found, key=lambda one: one.at))


def _rehearsal(line: str) -> Rehearsal:
    values = json.loads(line)
    if not isinstance(values, dict):
        raise TypeError("not an object")
    if unknown := sorted(values.keys() - {field.name for field in fields(Rehearsal)}):
        raise ValueError(f"unknown key {unknown[0]!r}")
    return Rehearsal(**values)


def standing(
    targets: Mapping[str, Target], history: Iterable[Rehearsal], *, now: float
) -> tuple[Due, ...]:
    """Say for each solution whether its rehearsal is due; `now` in seconds since 1970.

    A rehearsal from the future counts as one of now: a clock that was put back must
    not silence the reminder for years.
    """
    runs: dict[str, list[Rehearsal]] = {name: [] for name in targets}
    for one in history:
        runs.setdefault(one.name, []).append(one)
    return tuple(_due(target, runs[name], now) for name, target in targets.items())


def _due(target: Target, runs: list[Rehearsal], now: float) -> Due:
    last = max(runs, key=lambda one: one.at, default=None)
    good = [min(one.at, now) for one in runs if one.counts]
    left = None
    if good:
        left = target.rehearse_every_days - (now - max(good)) / _DAY_S
    judged = [one for one in runs if one.valid]
    newest = max(judged, key=lambda one: one.at, default=None)
    word: Standing
    if not target.in_use:
        word = "not in use"
    elif newest is None:
        word = "never"
    elif not newest.counts:
        word = "failed"
    elif left is None or left < 0:
        word = "overdue"
    else:
        word = "in time"
    return Due(name=target.name, standing=word, due_in_days=left, last=last)
