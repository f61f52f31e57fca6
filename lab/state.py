"""The lab's folder: one lab at a time, and the file that tells others where it is.

The lock is held by the supervising process and falls with it, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lab.files import write_atomically

SCHEMA = "seawall-lab/1"
ENV = "SEAWALL_LAB"
_LOOKED_AT_S = 0.2


class LabRunningError(RuntimeError):
    """Another lab uses this folder."""

    def __init__(self, state: Path, more: str = "") -> None:
        pid = (read(state) or {}).get("pid", "unknown")
        also = f"; {more}" if more else ""
        super().__init__(
            f"a lab is running already (process {pid}, folder {state}{also}). "
            "`seawall status` shows it, `seawall down` stops it."
        )


class NoLabError(RuntimeError):
    """No lab runs in this folder."""

    def __init__(self, state: Path) -> None:
        super().__init__(f"no lab is running in {state}; `seawall up` starts one.")


def default_folder() -> Path:
    """`$SEAWALL_LAB`'s folder, or `.seawall` where the command was called."""
    named = os.environ.get(ENV)
    return Path(named).parent if named else Path.cwd() / ".seawall"


def lab_file(folder: Path) -> Path:
    """Name the file that tells where everything of the running lab is."""
    return folder / "lab.json"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises LabRunningError when it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    # Others must pass through to the database's files, which are not root's.
    folder.chmod(0o711)
    with (folder / "lock").open("w") as lock:
        _take(lock, folder)
        lab_file(folder).unlink(missing_ok=True)
        try:
            yield
        finally:
            lab_file(folder).unlink(missing_ok=True)


def _take(lock: IO[str], folder: Path) -> None:
    # Who only looks whether it is taken holds it for a moment.
    give_up = time.monotonic() + _LOOKED_AT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise LabRunningError(folder) from None
            time.sleep(0.01)
        else:
            return


def is_owned(folder: Path) -> bool:
    """Whether a living process holds the folder."""
    try:
        with (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def write(folder: Path, document: dict[str, Any]) -> None:
    """Publish where everything is; readable by its owner alone."""
    complete = {"schema": SCHEMA, **document}
    write_atomically(lab_file(folder), json.dumps(complete, indent=2))


def read(folder: Path) -> dict[str, Any] | None:
    """Read what the running lab published, or None."""
    try:
        document: dict[str, Any] = json.loads(lab_file(folder).read_text())
    except FileNotFoundError:
        return None
    return document


def running(folder: Path) -> dict[str, Any]:
    """Read the running lab's document. Raises NoLabError."""
    document = read(folder)
    if document is None or not is_owned(folder):
        raise NoLabError(folder)
    return document
