"""The generator as a process of its own, on a leash from this one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos.lab_state import Lab
from chaos.settings import Settings

# From the order to start until the first arrival: imports, connections, heartbeat.
LEAD_S = 3.0
STOP_S = 3.0


class LoadFailedError(RuntimeError):
    """The generator ended before its plan did."""


def plan(settings: Settings, lab: Lab, *, start_at: float) -> dict[str, Any]:
    """Write down what the generator is to play on this lab."""
    return {
        "seed": settings.seed,
        "start_at": start_at,
        "duration_s": settings.timings.duration_s,
        # What the fault is compared with is the baseline, on the same arrivals.
        "period_s": settings.timings.baseline_s,
        **settings.load,
        "flash": settings.flashes(),
        "surges": settings.surges(),
        "storefronts": lab.addresses("storefront"),
        "catalogs": lab.addresses("catalog"),
        "catalogue": dict(lab.catalogue),
        "otlp": lab.otlp,
        "profile": settings.profile,
    }


class LoadProcess:
    """Starts the generator, watches it, and reads its summary."""

    def __init__(self, run_dir: Path) -> None:
        self.results = run_dir / "results.jsonl"
        self.summary_path = run_dir / "summary.json"
        self._plan_path = run_dir / "plan.json"
        self._errors = run_dir / "load.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def start(self, document: Mapping[str, Any]) -> None:
        """Start playing the plan."""
        self._plan_path.write_text(json.dumps(document, indent=2))
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "load", "--leash"),
                    *("--plan", str(self._plan_path)),
                    *("--results", str(self.results)),
                    *("--summary", str(self.summary_path)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """Raise LoadFailedError when the generator gave up."""
        if self._process is not None and self._process.poll() not in {None, 0}:
            said = self._errors.read_text(errors="replace").strip()
            raise LoadFailedError(f"the generator failed: {said[-500:]}")

    def running(self) -> bool:
        """Whether it still plays."""
        return self._process is not None and self._process.poll() is None

    def finish(self, timeout: float) -> dict[str, Any]:
        """Wait for the last answer and read the summary. Raises LoadFailedError."""
        give_up = time.monotonic() + timeout
        while self.running():
            if time.monotonic() > give_up:
                self.stop()
                raise LoadFailedError(f"the generator did not end in {timeout:.0f} s")
            time.sleep(0.05)
        self.check()
        summary: dict[str, Any] = json.loads(self.summary_path.read_text())
        return summary

    def stop(self) -> None:
        """End it now; harmless when it has ended."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
