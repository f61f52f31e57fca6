"""A short run of the first experiment, sick and cured, as the command plays it.

Too short to be judged, and on a machine that does other things: what is promised here
is that it is played through, proved, told in full, and called what it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SEAWALL = Path(sys.executable).with_name("seawall")
SHORT = {
    "SEAWALL_EXERCISE_S": "5",
    "SEAWALL_BASELINE_S": "3",
    # Long enough for sick checkouts to cross the ocean a few times each.
    "SEAWALL_FAULT_S": "8",
    "SEAWALL_AFTER_S": "4",
    # So that a slow machine comes to the fault as well.
    "SEAWALL_LOAD": "0.5",
}
FIGURES = {
    "success_ratio",
    "degraded_ratio",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "goodput_rps",
    "offered_rps",
    "sql_per_checkout",
    "cross_region_sql_per_checkout",
    "attempts_per_call",
    "peak_identical_loads",
    "recovery_s",
    "baseline",
    "checks",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("experiment")
    done = subprocess.run(
        [
            *(str(SEAWALL), "chaos", "run", "slow-database", "--profile", "both"),
            *("--port-base", "0", "--seed", "11", "--json", "-"),
        ],
        env={**os.environ, **SHORT, "SEAWALL_LAB": str(folder / "lab.json")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=folder,
    )
    assert done.stdout.startswith("{"), done.stderr
    return {**json.loads(done.stdout), "exit": done.returncode, "folder": folder}


@pytest.mark.timeout(220)
def test_both_profiles_are_told_in_full(run: dict[str, Any]) -> None:
    """One object with every figure of both profiles, one seed, and an exit code."""
    result = run["results"][0]

    assert ("seawall/1", "chaos run") == (run["schema"], run["command"])
    assert ("slow-database", 11) == (result["scenario"], result["seed"])
    for name in ("sick", "cured"):
        told = result["profiles"][name]
        assert set(told) >= FIGURES
        assert {"success_ratio", "p95_ms"} <= set(told["baseline"])
        for check in told["checks"]:
            # A check that proves less than it should says so in a note besides.
            assert {"name", "passed", "observed", "expected", "trace_ids"} == (
                set(check) - {"note"}
            )
    # A run as short as this has too few journeys to be valid, and says so.
    assert not run["valid"]
    assert run["verdict"] is None
    assert 3 == run["exit"]


def test_the_fault_was_in_force_and_is_gone_by_proof(run: dict[str, Any]) -> None:
    """Statements through the faulted links were timed before it counts and after."""
    for told in run["results"][0]["profiles"].values():
        assert {"in_force", "gone"} <= set(told["proofs"])
        assert all(proof["wrong"] == [] for proof in told["proofs"].values())


def test_the_two_runs_differ_for_the_right_reason(run: dict[str, Any]) -> None:
    """Sick crosses oceans for its SQL and asks one by one; cured does neither."""
    profiles = run["results"][0]["profiles"]
    sick, cured = profiles["sick"], profiles["cured"]

    assert sick["cross_region_sql_per_checkout"] > 3
    assert cured["cross_region_sql_per_checkout"] < 1
    assert cured["success_ratio"] > sick["success_ratio"]


def test_the_report_is_written(run: dict[str, Any]) -> None:
    """The run ends with a page, the same as Markdown and as JSON."""
    assert {"html", "markdown", "json"} == set(run["report"])
    for path in run["report"].values():
        assert (run["folder"] / "reports") in Path(path).parents
        assert Path(path).stat().st_size > 1000


def test_the_runs_are_kept_with_their_traces(run: dict[str, Any]) -> None:
    """Each profile's traces can be looked at when the lab is gone."""
    for told in run["results"][0]["profiles"].values():
        assert (Path(told["run_dir"]) / "traces.db").stat().st_size > 0
    assert not (run["folder"] / "lab.json").exists()


def test_the_runs_tell_of_themselves_as_they_go(run: dict[str, Any]) -> None:
    """Every second once, the fault from injecting to gone, and the breakers."""
    for told in run["results"][0]["profiles"].values():
        text = (Path(told["run_dir"]) / "progress.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        states = [line["fault"]["state"] for line in lines if "fault" in line]
        seconds = [one["at_s"] for line in lines for one in line.get("seconds", ())]

        assert ["injecting", "in force", "in force", "removed", "gone"] == states
        assert list(range(len(seconds))) == seconds
        assert len(seconds) >= sum(
            int(value) for name, value in SHORT.items() if name.endswith("_S")
        )
        assert all(line["breakers"]["answers"] for line in lines if "breakers" in line)
