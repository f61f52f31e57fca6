"""Runs an experiment in a process of its own and gives an honest account of it.

Whatever ends the run, a signal, a crash or the one who called, the fault is off when
`run` returns or raises.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos import lab_state, run_files, scaling, toxics, verdict
from chaos.run_files import JOURNAL, PROGRESS, VERDICT
from links.errors import LinkError

POLL_S = 0.2
# What an interrupted run may take for its rollbacks before it is killed.
ROLLBACK_S = 20.0

Progress = Callable[[Mapping[str, Any]], None]


class ExperimentError(RuntimeError):
    """The experiment could not be played at all: usage or environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One judged run of one profile; `figures` is its object for `--json`."""

    scenario: str
    profile: str
    seed: int
    valid: bool
    invalid_reasons: tuple[str, ...]
    verdict: str | None
    figures: Mapping[str, Any]
    run_dir: Path

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 invalid."""
        return verdict.exit_code({"valid": self.valid, "verdict": self.verdict})


def run(
    experiment: Path,
    *,
    lab_state_path: Path | None = None,
    profile: str = "",
    seed: int | None = None,
    run_dir: Path | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
) -> RunResult:
    """Play an experiment on the running lab and judge it.

    `profile` is what the run is judged as; empty means what the lab is. `progress` is
    called with every line of the run's progress: `phase`, `text`, and in between the
    numbers of `chaos.pulse`, how the `breakers` stand, and the `fault` when it changes.
    Raises NoLabError, ExperimentError; KeyboardInterrupt passes through when the fault
    is off.
    """
    path = (lab_state_path or lab_state.default_path()).resolve()
    lab = lab_state.load(path)
    profile = profile or lab.profile
    folder = run_dir or run_files.new_folder(lab.runs, experiment.stem, profile)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for left in (VERDICT, JOURNAL, PROGRESS):
        # It would be told as what this run said, should this one say nothing.
        if (folder / left).exists():
            raise ExperimentError(f"{folder} holds another run: name an empty folder")
    settings = {
        **os.environ,
        **(environ or {}),
        lab_state.ENV: str(path),
        "SEAWALL_PROFILE": profile,
        "SEAWALL_RUN_DIR": str(folder),
    }
    if seed is not None:
        settings["SEAWALL_SEED"] = str(seed)
    with (folder / "play.log").open("wb") as log:
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "chaos.play"),
                *(str(experiment), "--run-dir", str(folder)),
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=settings,
            start_new_session=True,
        )
    follower = _Follower(folder / PROGRESS, progress)
    try:
        while child.poll() is None:
            follower.look()
            time.sleep(POLL_S)
        follower.look()
    finally:
        with _uninterrupted():
            _end(child)
            _clean(lab)
    return _result(folder, experiment, profile, seed)


class _Follower:
    """Hands each new line of a run's progress on."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path = path
        self._progress = progress
        self._at = 0

    def look(self) -> None:
        if self._progress is None:
            return
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.decode().splitlines():
            self._progress(json.loads(line))


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        # Chaos Toolkit runs its rollbacks on this one, wherever it is.
        child.send_signal(signal.SIGUSR1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(ROLLBACK_S)
    if child.poll() is None:
        child.kill()
        child.wait()
    if child.stdin is not None:
        child.stdin.close()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    # A second Ctrl-C would leave what the first one was about to take off.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _clean(lab: lab_state.Lab) -> None:
    # Belt, braces and this: the rollback and the guard have been here before.
    with contextlib.suppress(toxics.ToxiproxyError):
        toxics.Toxiproxy(lab.toxiproxy).remove_named(toxics.PREFIX)
    with contextlib.suppress(LinkError, OSError):
        scaling.take_back(lab)


def _result(
    folder: Path, experiment: Path, profile: str, seed: int | None
) -> RunResult:
    journal = _read(folder / JOURNAL)
    told = _read(folder / VERDICT)
    if told is None:
        if journal is not None or not (folder / PROGRESS).exists():
            raise ExperimentError(_why_not_played(folder, journal))
        told = {"invalid_reasons": ["the experiment's process died"], "verdict": None}
        told |= {"valid": False, "profile": profile, "seed": seed or 0}
    reasons = [*told["invalid_reasons"]]
    if not reasons:
        reasons = journal_reasons(journal)
    if reasons:
        told |= {"valid": False, "invalid_reasons": reasons, "verdict": None}
    return RunResult(
        scenario=str(told.get("scenario", experiment.stem)),
        profile=profile,
        seed=int(told.get("seed", seed or 0)),
        valid=bool(told["valid"]),
        invalid_reasons=tuple(reasons),
        verdict=told["verdict"],
        figures=told,
        run_dir=folder,
    )


def journal_reasons(journal: Mapping[str, Any] | None) -> list[str]:
    """Tell why a journal shows that the run was not played through.

    Its `status` is not believed: every single activity is looked at.
    """
    if journal is None:
        return ["the experiment's process died"]
    states = journal.get("steady_states") or {}
    found = []
    if not (states.get("before") or {}).get("steady_state_met"):
        found.append("the lab was not ready before the run")
    for one in (*journal.get("run", ()), *journal.get("rollbacks", ())):
        if one.get("status") != "succeeded":
            name = (one.get("activity") or {}).get("name", "an activity")
            found.append(f"{name}: {one.get('status', 'interrupted')}")
    return found


def _why_not_played(folder: Path, journal: Mapping[str, Any] | None) -> str:
    states = (journal or {}).get("steady_states") or {}
    for probe in (states.get("before") or {}).get("probes", ()):
        if probe.get("status") != "succeeded" or not probe.get("tolerance_met", True):
            raised = probe.get("exception") or ["no reason given"]
            return str(raised[-1]).strip()
    for one in (journal or {}).get("run", ()):
        if one.get("status") != "succeeded" and one.get("exception"):
            return str(one["exception"][-1]).strip()
    said = (folder / "play.log").read_text(errors="replace").strip().splitlines()
    return said[-1] if said else f"the experiment was not played; see {folder}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
