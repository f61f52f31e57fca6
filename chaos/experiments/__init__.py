"""The experiments that there are: ordinary Chaos Toolkit files."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


class UnknownExperimentError(ValueError):
    """There is no experiment of that name."""


def available() -> dict[str, Path]:
    """Give every experiment by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.json"))}


def find(name: str) -> Path:
    """Find an experiment by name or path. Raises UnknownExperimentError."""
    known = available()
    if name in known:
        return known[name]
    if Path(name).is_file():
        return Path(name)
    raise UnknownExperimentError(
        f"no experiment {name!r}; there are: {', '.join(known)}"
    )
