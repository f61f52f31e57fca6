"""The `seawall` command as the suites call it, and what its verdict says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEAWALL = Path(sys.executable).with_name("seawall")


def seawall(
    folder: Path,
    *arguments: str,
    timeout: float = 90,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Call the command in a folder of its own, which is its lab's as well."""
    known = {**os.environ, **(environ or {}), "SEAWALL_LAB": str(folder / "lab.json")}
    return subprocess.run(
        [str(SEAWALL), *arguments],
        env=known,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=folder,
    )


def failed(figures: Mapping[str, Any]) -> set[str]:
    """Name what makes one judged run red: its checks, and invariants that count."""
    told = [*figures["checks"], *figures["invariants"]]
    return {
        one["name"] for one in told if not one["passed"] and one.get("counts", True)
    }
