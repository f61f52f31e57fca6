"""The first experiment, cured, with one thing taken away, broken or faked.

Each run is a real one on a lab of its own, shorter than the command's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from chaos import experiments, lab_state, runner
from tests.command import failed, seawall

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
        return failed(result.figures)

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

        def call(*arguments: str) -> None:
            done = seawall(tmp_path, *arguments, environ=environ)
            assert done.returncode == 0, done.stdout + done.stderr

        call("up", "--detach", "--port-base", "0")
        try:
            if without:
                call("flags", "set", f"{without}=off")
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
            call("down")

    return run
