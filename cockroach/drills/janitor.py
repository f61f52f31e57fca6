"""Leaves nothing of a drill behind, however its runner ended.

As a process it holds the end of a pipe from the runner: when that ends without
`done`, which even `kill -9` brings, it cleans. Arguments are the drill's directories.
A drill's data is thrown away, so servers end by force, paused ones too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

_PROGRAMS = {"postgres", "initdb", "pg_basebackup", "cp", "unshare"}
# A server that was being started shows itself a moment after its runner's death.
_LATE_S = 1.0
_INSIST_S = 5.0
_POLL_S = 0.05


def clean(homes: Iterable[Path], *, late: float = 0.0) -> None:
    """End every server of these directories, unmount what is in them, remove them.

    Looks for `late` seconds for a server that is only being started.
    """
    places = tuple(homes)
    _end_servers(places, late)
    for home in places:
        for mounted in _mounts(home):
            # Lazily: a file that is still open must not keep the directory.
            subprocess.run(
                ["umount", "--lazy", mounted], capture_output=True, check=False
            )
        shutil.rmtree(home, ignore_errors=True)


def servers(homes: Sequence[Path]) -> list[psutil.Process]:
    """Give the processes of servers, and of their tools, in these directories."""
    found = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] in _PROGRAMS and process.pid != os.getpid():
            with contextlib.suppress(psutil.Error):
                words = [process.cwd(), *process.cmdline()]
                if any(_inside(word, homes) for word in words):
                    found.append(process)
    return found


def _inside(word: str, homes: Sequence[Path]) -> bool:
    return any(word == str(h) or word.startswith(f"{h}/") for h in homes)


def _end_servers(homes: Sequence[Path], late: float) -> None:
    began = time.monotonic()
    while True:
        alive = servers(homes)
        for one in alive:
            with contextlib.suppress(psutil.Error):
                one.kill()
        waited = time.monotonic() - began
        if (not alive and waited >= late) or waited > _INSIST_S:
            return
        time.sleep(_POLL_S)


def _mounts(home: Path) -> list[str]:
    inside = [
        one.mountpoint
        for one in psutil.disk_partitions(all=True)
        if _inside(one.mountpoint, [home])
    ]
    return sorted(inside, reverse=True)


def main(homes: Sequence[str]) -> None:
    """Wait for the runner's end, then clean."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if b"done" not in sys.stdin.buffer.read():
        clean([Path(home) for home in homes], late=_LATE_S)


if __name__ == "__main__":
    main(sys.argv[1:])
