"""Labs that a test starts, hurts and ends by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

SEAWALL = Path(sys.executable).with_name("seawall")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a lab in a folder, in the foreground, on free ports; wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "SEAWALL_LAB": str(folder / "lab.json")}
    # What is begun in the background of a shell ignores SIGINT, and so do its children.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (folder / "output").open("w") as output:
            process = subprocess.Popen(
                [str(SEAWALL), "up", "--port-base", "0", *arguments],
                env=environ,
                stdout=output,
                stderr=output,
                text=True,
                cwd="/",
            )
    finally:
        signal.signal(signal.SIGINT, ours)
    end = time.monotonic() + 60
    while not _is_of(folder, process.pid):
        assert process.poll() is None, (folder / "output").read_text()
        assert time.monotonic() < end, "not ready in time"
        time.sleep(0.05)
    return process


def _is_of(folder: Path, pid: int) -> bool:
    # A killed lab's file lies there until the next start has tidied up.
    try:
        return bool(document(folder)["pid"] == pid)
    except FileNotFoundError:
        return False


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """List the processes that a lab has started."""
    return psutil.Process(process.pid).children(recursive=True)


def wait_gone(family: list[psutil.Process], within: float) -> list[psutil.Process]:
    """Wait for processes to end; list those that have not."""
    _, alive = psutil.wait_procs(family, timeout=within)
    return [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def document(folder: Path) -> dict[str, Any]:
    """Read what the running lab published."""
    return json.loads((folder / "lab.json").read_text())
