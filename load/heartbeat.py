"""A heart that beats in a process of its own, and notices when the machine stops it.

A stalled machine delays everyone; a slow system does not delay a process that only
sleeps. Prints one JSON object when its standard input ends.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

BEAT_S = 0.01
STALL_S = 0.05
BUSY_EVERY_S = 1.0


@dataclass(slots=True, kw_only=True)
class Pulse:
    """What the heart felt. Times are epoch seconds."""

    stalls: list[dict[str, float]] = field(default_factory=list)
    busy: list[dict[str, float]] = field(default_factory=list)

    def beat(self, *, now_s: float, gap_s: float, wanted_s: float = BEAT_S) -> None:
        """Note a gap between two beats that is longer than a machine at work makes."""
        lost = gap_s - wanted_s
        if lost >= STALL_S:
            self.stalls.append(
                {"at_s": round(now_s - gap_s, 3), "ms": round(lost * 1000, 1)}
            )


def listen() -> None:
    """Beat until standard input ends, then tell."""
    pulse = Pulse()
    psutil.cpu_percent()
    last = measured = time.monotonic()
    while not select.select([sys.stdin], [], [], BEAT_S)[0]:
        now = time.monotonic()
        pulse.beat(now_s=time.time(), gap_s=now - last)
        if now - measured >= BUSY_EVERY_S:
            pulse.busy.append(
                {
                    "at_s": round(time.time(), 3),
                    "percent": psutil.cpu_percent(),
                    "available_mb": psutil.virtual_memory().available // 2**20,
                }
            )
            measured = now
        last = time.monotonic()
    sys.stdout.write(json.dumps({"stalls": pulse.stalls, "busy": pulse.busy}))


class Heart:
    """The process that beats, seen from the generator."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "load.heartbeat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def stop(self, timeout: float = 5.0) -> dict[str, Any]:
        """End the process and tell what it felt; empty when it died on the way."""
        try:
            told, _ = self._process.communicate("", timeout=timeout)
            felt: dict[str, Any] = json.loads(told)
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            self._process.kill()
            self._process.wait()
            return {}
        return felt


if __name__ == "__main__":
    listen()
