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
from lab import flags, launcher, live, profiles, repeat, state, tables
from lab.console import progress
from lab.report import making
from lab.results import Result
from lab.watched import Turn

# Each run keeps its traces, some tens of megabytes. A command keeps all its own.
KEPT_RUNS = 10


def available() -> list[dict[str, str]]:
    """List the experiments by name, with their titles.

    `needs` says on what database alone one can be played, empty for any: one kind of
    it, or "links" for one that the lab's links lead to.
    """
    rows = []
    for name, path in experiments.available().items():
        document = json.loads(path.read_text())
        needs = document.get("configuration", {}).get("needs", "")
        rows.append(
            {"name": name, "title": str(document["title"]), "needs": str(needs)}
        )
    return rows


def sick_and_cured(
    name: str,
    *,
    config: launcher.LabConfig,
    seed: int,
    console: Console,
    command: str,
    repeats: int = 1,
) -> Result:
    """Run an experiment sick, then cured, each on a new lab, with one seed or several.

    Raises what the lab and the runner raise.
    """
    view = live.View(console)
    planned = repeat.turns(name, profiles.PROFILES, seed=seed, repeat=repeats)
    tables.settings(console)

    def run(turn: Turn) -> Mapping[str, Any]:
        cures = profiles.cures_of(_profile(turn))
        return _on_a_new_lab(
            turn, config=replace(config, cures=cures), view=view, keep=len(planned)
        )

    judged = repeat.play(planned, run, console=console)
    return _tell(name, judged, console=console, command=command)


def one_profile(
    name: str,
    profile: profiles.Profile,
    *,
    config: launcher.LabConfig,
    seed: int,
    console: Console,
    without: Sequence[str] = (),
    repeats: int = 1,
) -> Result:
    """Run an experiment on the lab that runs, or on a new one when none does.

    Cures named in `without` are left out; the verdict is the profile's all the same.
    Several seeds each have a new lab.
    Raises what the lab and the runner raise; LabRunningError when the one that runs
    has other cures, or is in the way of several.
    """
    cures = {**profiles.cures_of(profile), **dict.fromkeys(without, False)}
    view = live.View(console)
    planned = repeat.turns(name, [profile], seed=seed, repeat=repeats)
    here = repeats == 1 and state.is_owned(config.folder)
    if here:
        document = state.running(config.folder)
        present = flags.read(Path(document["policies"]))
        if present.cures != cures:
            raise state.LabRunningError(
                config.folder, f"its profile is {present.profile}"
            )

    def run(turn: Turn) -> Mapping[str, Any]:
        if here:
            return _play(turn, config.folder, view=view).figures
        return _on_a_new_lab(
            turn, config=replace(config, cures=cures), view=view, keep=len(planned)
        )

    judged = repeat.play(planned, run, console=console)
    return _tell(name, judged, console=console, command="chaos run")


def _on_a_new_lab(
    turn: Turn, *, config: launcher.LabConfig, view: live.View, keep: int
) -> Mapping[str, Any]:
    console = view.console
    with progress(console, f"{turn.title}: starting") as show:
        running = launcher.running(config, show)
        lab = running.__enter__()
    try:
        given = config.database
        stores = "three databases" if given is None else f"database {given.dbname}"
        console.print(
            f"[bold]{turn.title}[/]: {len(lab.placed)} services and {stores} "
            f"ready in {lab.ready_s:.1f} s"
        )
        for note in lab.notes:
            console.print(f"  {note}")
        played = _play(turn, config.folder, view=view)
    finally:
        running.__exit__(None, None, None)
    # The next lab begins with an empty store; this run keeps its own.
    shutil.move(config.folder / "traces.db", played.run_dir / "traces.db")
    _forget_old(config.folder / "runs", keep=keep)
    return {**played.figures, "run_dir": str(played.run_dir)}


def _play(turn: Turn, folder: Path, *, view: live.View) -> runner.RunResult:
    with view.watch(turn) as follow:
        return runner.run(
            experiments.find(turn.experiment),
            lab_state_path=state.lab_file(folder),
            profile=turn.profile,
            seed=turn.seed,
            progress=follow,
        )


def _profile(turn: Turn) -> profiles.Profile:
    return "sick" if turn.profile == "sick" else "cured"


def _tell(
    name: str,
    judged: Sequence[Mapping[str, Any]],
    *,
    console: Console,
    command: str,
) -> Result:
    document = verdict.document(command, name, judged)
    outcome, extra = document["verdict"], {}
    if repeat.several(judged):
        summed = repeat.summary(judged)
        outcome, extra = repeat.verdict_of(document, summed), {"repeat": summed}
        repeat.tell(console, judged, summed)
    else:
        _tell_each(judged, console=console)
    tables.verdict(console, {**document, "verdict": outcome})
    for one in judged:
        if "run_dir" in one:
            whose = f"seed {one['seed']} " if extra else ""
            store = Path(one["run_dir"]) / "traces.db"
            # A lab that was up already has its own, which goes with it.
            where = f" --store {store}" if store.exists() else ", while the lab is up"
            console.print(f"{whose}{one['profile']}: seawall traces{where}")
    report = making.at_the_end(_worth_a_report(judged), console=console)
    return Result(
        command=command,
        valid=document["valid"],
        invalid_reasons=document["invalid_reasons"],
        verdict=outcome,
        results=document["results"],
        extra={**extra, "report": report},
    )


def _worth_a_report(judged: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give the runs of the first seed that did not pass, or else of the first."""
    seeds = [one["seed"] for one in judged if one["verdict"] != "pass"]
    shown = seeds[0] if seeds else judged[0]["seed"] if judged else None
    return [one for one in judged if one["seed"] == shown]


def _tell_each(judged: Sequence[Mapping[str, Any]], *, console: Console) -> None:
    complete = {one["profile"]: one for one in judged if "during" in one}
    if not complete:
        return
    tables.figures(console, complete)
    for profile, one in complete.items():
        tables.checks(console, profile, [*one["checks"]])
        tables.invariants(console, profile, one["invariants"])


def _forget_old(runs: Path, *, keep: int) -> None:
    for old in sorted(runs.iterdir())[: -max(KEPT_RUNS, keep)]:
        shutil.rmtree(old, ignore_errors=True)
