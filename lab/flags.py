"""The flag file: which cures are on, and the policy snapshot that follows from it.

Written whole and renamed into place, so that a reader sees the old or the new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import profiles
from lab.files import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The switches of a lab and the number of the snapshot they made."""

    version: int
    cures: Mapping[str, bool]

    @property
    def profile(self) -> str:
        """`sick`, `cured` or `mixed`."""
        return profiles.describe(self.cures)


def write(path: Path, *, version: int, cures: Mapping[str, bool]) -> Flags:
    """Write the snapshot for these cures. Raises UnknownCureError."""
    complete = {name: bool(cures.get(name, False)) for name in profiles.CURE_NAMES}
    document = {
        "version": version,
        "profile": profiles.describe(cures),
        "values": profiles.values(cures),
    }
    write_atomically(path.with_suffix(".cures.json"), json.dumps(complete, indent=2))
    write_atomically(path, json.dumps(document, indent=2))
    return Flags(version=version, cures=complete)


def read(path: Path) -> Flags:
    """Read the switches. Raises FileNotFoundError when there are none."""
    document = json.loads(path.read_text())
    cures = json.loads(path.with_suffix(".cures.json").read_text())
    return Flags(version=int(document["version"]), cures=cures)


def change(path: Path, changes: Mapping[str, bool]) -> Flags:
    """Switch some cures and leave the others. Raises UnknownCureError."""
    current = read(path)
    for name in changes:
        if name not in profiles.CURE_NAMES:
            raise profiles.UnknownCureError(name)
    merged = {**current.cures, **changes}
    return write(path, version=current.version + 1, cures=merged)
