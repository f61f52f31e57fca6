"""The first experiment, cured, with one thing taken away, broken or faked.

Each run is a real one on a lab of its own, shorter than the command's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from chaos import experiments, lab_state, runner

SEAWALL = Path(sys.executable).with_name("seawall")
SHORT = {
    "SEAWALL_EXERCISE_S": "7",
    "SEAWALL_BASELINE_S": "6",
    "SEAWALL_FAULT_S": "15",
    "SEAWALL_AFTER_S": "6",
    "SEAWALL_MIN_JOURNEYS": "600",
    "SEAWALL_MIN_AFFECTED": "180",
}

Play = Callable[..., runner.RunResult]
Progress = Callable[[Mapping[str, Any]], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "sceptic" in item.path.parts:
            item.add_marker(pytest.mark.sceptic)
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="session")
def red() -> Callable[[runner.RunResult], set[str]]:
    def name(result: runner.RunResult) -> set[str]:
        """Name the checks and invariants that failed."""
        told = [*result.figures["checks"], *result.figures["invariants"]]
        return {one["name"] for one in told if not one["passed"]}

    return name


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def run(
        *,
        without: str = "",
        environ: Mapping[str, str] | None = None,
        change: Callable[[dict[str, Any]], None] = lambda document: None,
        beside: Callable[
            [lab_state.Lab, Path], AbstractContextManager[Progress | None]
        ] = lambda lab, run_dir: nullcontext(),
    ) -> runner.RunResult:
        """Start a cured lab, spoil what is to be spoiled, play, and judge.

        `change` edits the experiment, `beside` is entered with the lab and the run's
        folder for the length of the run and may give a listener to its progress.
        """
        where = tmp_path / "lab.json"
        seawall = Seawall({**os.environ, **(environ or {}), "SEAWALL_LAB": str(where)})
        seawall("up", "--detach", "--port-base", "0")
        try:
            if without:
                seawall("flags", "set", f"{without}=off")
            document = json.loads(experiments.find("slow-database").read_text())
            change(document)
            experiment = tmp_path / "slow-database.json"
            experiment.write_text(json.dumps(document))
            run_dir = tmp_path / "run"
            with beside(lab_state.load(where), run_dir) as progress:
                return runner.run(
                    experiment,
                    lab_state_path=where,
                    profile="cured",
                    seed=7,
                    run_dir=run_dir,
                    progress=progress,
                    environ=SHORT,
                )
        finally:
            seawall("down")

    return run


class Seawall:
    """The command in one environment; what it says is shown where it fails."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __call__(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(SEAWALL), *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
