"""Files that are seen whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace the file's content in one step. Raises OSError, leaving the old one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_together(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write several files of one folder, all of them or none. Raises OSError.

    They are complete beside their places before the first of them takes its place.
    """
    made = _make(folder)
    parts: list[tuple[Path, Path]] = []
    try:
        for name, text in texts.items():
            handle, part = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
            parts.append((Path(part), folder / name))
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(part).chmod(0o644)
        # Nothing takes its place while one of them cannot.
        _refuse_folders(path for _, path in parts)
        for part_path, path in parts:
            part_path.replace(path)
    except BaseException:
        for part_path, _ in parts:
            part_path.unlink(missing_ok=True)
        for one in made:
            # Not empty when somebody else came: then it is theirs too.
            with contextlib.suppress(OSError):
                one.rmdir()
        raise
    return [path for _, path in parts]


def _refuse_folders(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _make(folder: Path) -> list[Path]:
    """Make a folder; give those that were not there, the innermost first."""
    missing = []
    above = folder
    while not above.exists():
        missing.append(above)
        above = above.parent
    folder.mkdir(parents=True, exist_ok=True)
    return missing
