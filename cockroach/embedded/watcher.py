"""Ends the servers when the process that started them is gone, however it went.

Runs by path as a process of its own with nothing but the standard library. The
parent holds its standard input; the end of it, which even `kill -9` brings, means
the parent is gone. Arguments are data directories.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# From asking for a fast shutdown to insisting; together under a second.
_FAST_S = 0.3
_INSIST_S = 5.0
# A server that was being started writes its file a moment after its birth.
_LATE_S = 1.0


def command_line(pid: int) -> list[str]:
    """Give the words of a process's command; none when there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    if Path("/proc/self").exists():
        return []
    done = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


def pid_in_file(data: str) -> int | None:
    """Give the pid that a data directory's lock file holds."""
    try:
        return int((Path(data) / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def postmaster(data: str) -> int | None:
    """Give the pid of the server that runs on a data directory, and is one."""
    pid = pid_in_file(data)
    if pid is None:
        return None
    # The number may by now belong to an innocent process.
    words = command_line(pid)
    return pid if data in words and Path(words[0]).name == "postgres" else None


def end_servers(directories: Sequence[str], *, late: float = _LATE_S) -> None:
    """Stop every server on these directories: fast first, then at once.

    Waits `late` seconds for one that is only being started.
    """
    asked: dict[int, float] = {}
    insisted: set[int] = set()
    started = time.monotonic()
    while True:
        now = time.monotonic()
        alive = {pid for d in directories if (pid := postmaster(d)) is not None}
        if not alive and now - started > (0 if asked else late):
            return
        if now - started > _INSIST_S:
            for pid in alive:
                _send(pid, signal.SIGKILL)
            return
        for pid in alive:
            if pid not in asked:
                asked[pid] = now
                _send(pid, signal.SIGINT)
            elif now - asked[pid] > _FAST_S and pid not in insisted:
                insisted.add(pid)
                _send(pid, signal.SIGQUIT)
        time.sleep(0.02)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def main(directories: Sequence[str]) -> None:
    """Wait for the parent's end, then end its servers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # "done" says that the parent stopped them itself.
    if b"done" not in sys.stdin.buffer.read():
        end_servers(directories)


if __name__ == "__main__":
    main(sys.argv[1:])
