"""An archive of the log: the commands that fill it and read it, and the waits for it.

Segments appear in the archive under their names when they are complete. A copy is
made beside its place first: a reader never sees half a segment.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from cockroach.drills.site import Site

# An archive that cannot be reached: the file that says so, in the archive itself.
UNREACHABLE = ".unreachable"


def _word(path: Path, *more: str) -> str:
    # The server replaces % and what follows; a folder's own must be doubled.
    folder = shlex.quote(str(path)).replace("%", "%%")
    return folder + "".join(more)


def archiving(archive: Path, *, interval: float) -> dict[str, str]:
    """Give the settings that copy each segment away, every `interval` seconds at most.

    PostgreSQL counts whole seconds; 0 waits until a segment is full.
    """
    folder = _word(archive)
    reachable = f"test ! -e {folder}/{UNREACHABLE}"
    copy = f"cp %p {folder}/.%f && mv {folder}/.%f {folder}/%f"
    return {
        "archive_mode": "on",
        "archive_command": f"{reachable} && test ! -e {folder}/%f && {copy}",
        "archive_timeout": str(round(interval)),
    }


def reading(archive: Path) -> dict[str, str]:
    """Give the setting that takes segments from an archive while recovering."""
    return {"restore_command": f"cp {_word(archive)}/%f %p", "archive_mode": "off"}


def until(moment: str, *, inclusive: bool = True) -> dict[str, str]:
    """Give the settings that end a recovery at a point in time, and open for writing.

    `moment` is a timestamp as the server wrote it; the log must reach beyond it.
    Without `inclusive`, what was committed at that very moment is left out.
    """
    return {
        "recovery_target_time": moment,
        "recovery_target_inclusive": "on" if inclusive else "off",
        "recovery_target_action": "promote",
        "recovery_target_timeline": "current",
    }


def push(site: Site) -> None:
    """End the present segment and wait until it and all before are in the archive."""
    segment = site.ask("select pg_walfile_name(pg_switch_wal())")
    site.wait_for(
        f"select last_archived_wal >= '{segment}' from pg_stat_archiver",  # noqa: S608 - a name the server gave
        f"the archive has no segment {segment}",
    )


def ship(source: Path, target: Path, *, own: Callable[[Path], None]) -> None:
    """Carry every complete segment to another place; `own` gives it to its reader."""
    for path in sorted(source.iterdir()):
        copied = target / path.name
        if not path.name.startswith(".") and not copied.exists():
            shutil.copy2(path, copied)
            own(copied)
