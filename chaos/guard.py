"""Takes toxics off when the process that put them on is gone, kill -9 included.

It waits for the end of its standard input, a pipe from that process, and lets no
signal of the terminal keep it from its one task.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from chaos.toxics import Toxiproxy, ToxiproxyError

PATIENCE_S = 5.0


def watch(url: str, prefix: str) -> int:
    """Wait for the pipe's end, then remove; 0 when nothing of ours is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    return 0 if remove(url, prefix) else 1


def remove(url: str, prefix: str, *, patience: float = PATIENCE_S) -> bool:
    """Remove every toxic of the run, trying for `patience` seconds; false if vain."""
    toxiproxy = Toxiproxy(url, timeout=2.0)
    give_up = time.monotonic() + patience
    while True:
        try:
            toxiproxy.remove_named(prefix)
        except ToxiproxyError:
            # A lab that is gone took its toxics along: after the patience, so be it.
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.2)
        else:
            return True


class Guard:
    """The guarding process, from the side of the one it guards against."""

    def __init__(self, url: str, prefix: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.guard", url, prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    def dismiss(self, timeout: float = PATIENCE_S + 3) -> bool:
        """Let it clean up and leave; false when it could not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            return self._process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False


if __name__ == "__main__":
    sys.exit(watch(*sys.argv[1:3]))
