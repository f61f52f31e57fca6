"""Plays experiments on a lab and puts the two profiles side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from chaos import experiments, runner, verdict
from lab import flags, launcher, profiles, state, tables
from lab.console import progress
from lab.report import making
from lab.results import Result

# Each run keeps its traces, some tens of megabytes.
KEPT_RUNS = 10


def available() -> list[dict[str, str]]:
    """List the experiments by name, with their titles."""
    return [
        {"name": name, "title": str(json.loads(path.read_text())["title"])}
        for name, path in experiments.available().items()
    ]


def sick_and_cured(
    name: str,
    *,
    config: launcher.LabConfig,
    seed: int,
    console: Console,
    command: str,
) -> Result:
    """Run an experiment sick, then cured, each on a new lab, with one seed.

    Raises what the lab and the runner raise.
    """
    judged: dict[str, Mapping[str, Any]] = {
        profile: _on_a_new_lab(
            name,
            profile,
            config=replace(config, cures=profiles.cures_of(profile)),
            seed=seed,
            console=console,
        )
        for profile in profiles.PROFILES
    }
    return _tell(name, judged, console=console, command=command)


def one_profile(
    name: str,
    profile: profiles.Profile,
    *,
    config: launcher.LabConfig,
    seed: int,
    console: Console,
    without: Sequence[str] = (),
) -> Result:
    """Run an experiment on the lab that runs, or on a new one when none does.

    Cures named in `without` are left out; the verdict is the profile's all the same.
    Raises what the lab and the runner raise; LabRunningError when the one that runs
    has other cures.
    """
    cures = {**profiles.cures_of(profile), **dict.fromkeys(without, False)}
    if state.is_owned(config.folder):
        document = state.running(config.folder)
        present = flags.read(Path(document["policies"]))
        if present.cures != cures:
            raise state.LabRunningError(
                config.folder, f"its profile is {present.profile}"
            )
        figures = _play(
            name, profile, config.folder, seed=seed, console=console
        ).figures
    else:
        figures = _on_a_new_lab(
            name,
            profile,
            config=replace(config, cures=cures),
            seed=seed,
            console=console,
        )
    return _tell(name, {profile: figures}, console=console, command="chaos run")


def _on_a_new_lab(
    name: str,
    profile: profiles.Profile,
    *,
    config: launcher.LabConfig,
    seed: int,
    console: Console,
) -> Mapping[str, Any]:
    with progress(console, f"{profile}: starting") as show:
        running = launcher.running(config, show)
        lab = running.__enter__()
    try:
        console.print(
            f"[bold]{profile}[/]: {len(lab.placed)} services and three databases "
            f"ready in {lab.ready_s:.1f} s"
        )
        played = _play(name, profile, config.folder, seed=seed, console=console)
    finally:
        running.__exit__(None, None, None)
    # The next lab begins with an empty store; this run keeps its own.
    shutil.move(config.folder / "traces.db", played.run_dir / "traces.db")
    _forget_old(config.folder / "runs")
    return {**played.figures, "run_dir": str(played.run_dir)}


def _play(
    name: str,
    profile: profiles.Profile,
    folder: Path,
    *,
    seed: int,
    console: Console,
) -> runner.RunResult:
    with progress(console, profile) as show:

        def follow(line: Mapping[str, Any]) -> None:
            text = f"{line['phase']} {line['text']}"
            if line.get("success_ratio") is not None:
                text += f"  success {line['success_ratio']:.1%}"
            if line.get("p95_ms") is not None:
                text += f"  p95 {line['p95_ms']:.0f} ms"
            show(text, line["at_s"] / line["of_s"] if line.get("of_s") else 0.0)

        return runner.run(
            experiments.find(name),
            lab_state_path=state.lab_file(folder),
            profile=profile,
            seed=seed,
            progress=follow,
        )


def _tell(
    name: str,
    judged: Mapping[str, Mapping[str, Any]],
    *,
    console: Console,
    command: str,
) -> Result:
    document = verdict.document(command, name, list(judged.values()))
    complete = {p: one for p, one in judged.items() if "during" in one}
    if complete:
        tables.figures(console, complete)
        for profile, one in complete.items():
            tables.checks(console, profile, [*one["checks"]])
            tables.invariants(console, profile, one["invariants"])
    tables.verdict(console, document)
    for profile, one in judged.items():
        if "run_dir" in one:
            console.print(
                f"{profile}: seawall traces --store {one['run_dir']}/traces.db"
            )
    report = making.at_the_end(judged.values(), console=console)
    return Result(
        command=command,
        valid=document["valid"],
        invalid_reasons=document["invalid_reasons"],
        verdict=document["verdict"],
        results=document["results"],
        extra={"report": report},
    )


def _forget_old(runs: Path) -> None:
    for old in sorted(runs.iterdir())[:-KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
