"""The one object that every command can print, and the exit codes that go with it."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.files import write_atomically

SCHEMA = "seawall/1"


class Exit(enum.IntEnum):
    """What a command's exit status means."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INVALID = 3
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A command's outcome in the shape that `--json` promises."""

    command: str
    valid: bool = True
    invalid_reasons: Sequence[str] = ()
    verdict: str | None = None
    results: Sequence[Any] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> Exit:
        """Invalid before failed: a run that proves nothing is no failure either."""
        if not self.valid:
            return Exit.INVALID
        return Exit.FAIL if self.verdict == "fail" else Exit.PASS

    def document(self) -> dict[str, Any]:
        """Make the JSON object."""
        return {
            "schema": SCHEMA,
            "command": self.command,
            "valid": self.valid,
            "invalid_reasons": list(self.invalid_reasons),
            "verdict": self.verdict,
            "results": list(self.results),
            **self.extra,
        }


def emit(result: Result, target: str | None) -> None:
    """Write the object to a file, or to standard output for `-`. Raises OSError."""
    if target is None:
        return
    text = json.dumps(result.document(), indent=2)
    if target == "-":
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        return
    write_atomically(Path(target), text + "\n", mode=0o644)
