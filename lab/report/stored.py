"""Stored runs as a report reads them: found by folder, and whole or refused."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from chaos import journeys, series
from chaos.case import Case
from chaos.journeys import Journey
from chaos.run_files import PROGRESS, VERDICT
from chaos.runner import journal_reasons
from chaos.settings import Settings, SettingsError

TRACES = "traces.db"
PROFILES = ("sick", "cured")

Series = Mapping[str, Any]


class ReportError(RuntimeError):
    """A report cannot be made; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One stored run. `told` is its verdict, `label` what the report calls it."""

    folder: Path
    label: str
    told: Mapping[str, Any]
    document: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    journal: Mapping[str, Any] = field(default_factory=dict)
    progress: Sequence[Mapping[str, Any]] = ()
    traces: Path | None = None

    @property
    def profile(self) -> str:
        """What it was judged as."""
        return str(self.told.get("profile") or "lab")

    @property
    def seed(self) -> int:
        """What its arrivals were drawn from."""
        return int(self.told.get("seed") or 0)

    @property
    def scenario(self) -> str:
        """Which experiment it was."""
        named = self.told.get("scenario") or self.settings.get("scenario")
        return str(named or self.document.get("scenario") or "unknown")

    @property
    def region(self) -> str:
        """Whose database was hurt."""
        return str(self.settings.get("region") or self.document.get("region") or "")

    @property
    def complete(self) -> bool:
        """Whether it has figures: it reached its end, valid or not."""
        return "during" in self.told and bool(self.told.get("timeline"))

    @property
    def start_s(self) -> float:
        """When its load began, epoch seconds; 0 when it is not known."""
        timeline = self.told.get("timeline") or self.document.get("timeline") or {}
        return float(timeline.get("start_s") or self.summary.get("start_at") or 0)

    def moment(self, name: str) -> float:
        """Give a moment of the timeline in seconds from the start of the load."""
        return float(self.told["timeline"][name]) - self.start_s

    @property
    def crowds(self) -> list[float]:
        """When flash crowds came, in seconds from the start of the load."""
        try:
            settings = Settings.from_configuration(self.settings)
        except SettingsError:
            return []
        return [float(flash["at_s"]) for flash in settings.flashes()]

    def journeys(self) -> list[Journey]:
        """Read what its customers lived through. Raises ReportError."""
        path = self.folder / "results.jsonl"
        try:
            return journeys.read(path)
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ReportError(f"{path} cannot be read: {error}") from error


# Runs with what is drawn from their spans.
Drawn = Sequence[tuple[Run, Series]]


def load(folder: Path, label: str = "") -> Run:
    """Read a run's folder. Raises ReportError."""
    if not folder.is_dir():
        raise ReportError(f"{folder} is no folder of a run")
    told = _read(folder / VERDICT)
    if told is None:
        raise ReportError(
            f"{folder} holds no {VERDICT}: no run, or one that never was judged"
        )
    journal = _read(folder / "journal.json")
    if not told.get("invalid_reasons"):
        # As whoever ran it was told: a step that failed makes it invalid.
        reasons = journal_reasons(journal)
        if reasons:
            told |= {"valid": False, "invalid_reasons": reasons, "verdict": None}
    return Run(
        folder=folder,
        label=label or str(told.get("profile") or "lab"),
        told=told,
        document=_read(folder / "run.json") or {},
        settings=_read(folder / "settings.json") or {},
        summary=_read(folder / "summary.json") or {},
        journal=journal or {},
        progress=_lines(folder / PROGRESS),
        traces=_traces(folder),
    )


def newest(runs: Path) -> list[Run]:
    """Find the newest run, and the other profile's newest with its scenario and seed.

    Sick first. Raises ReportError when there is none.
    """
    found: dict[str, Run] = {}
    for run in _from_new_to_old(runs):
        first = next(iter(found.values()), run)
        if (run.scenario, run.seed) == (first.scenario, first.seed):
            found.setdefault(run.profile, run)
        if set(PROFILES) <= set(found):
            break
    if not found:
        raise ReportError(
            f"there are no stored runs in {runs}; `seawall demo` and "
            "`seawall chaos run` leave some, or name a run's folder"
        )
    if set(found) & set(PROFILES):
        return [found[profile] for profile in PROFILES if profile in found]
    return [next(iter(found.values()))]


def newest_like(runs: Path, other: Run) -> Run:
    """Find the newest other run of one scenario and profile. Raises ReportError."""
    for run in _from_new_to_old(runs):
        alike = (run.scenario, run.profile) == (other.scenario, other.profile)
        if alike and run.folder.resolve() != other.folder.resolve():
            return run
    raise ReportError(
        f"there is no other stored {other.profile} run of {other.scenario} in {runs}"
    )


def series_of(run: Run) -> tuple[Mapping[str, Any] | None, str]:
    """Give what is drawn from spans, or None and why there is nothing to draw.

    A verdict from before this was stored has none; then the spans are read again.
    """
    stored = run.told.get("series")
    if stored:
        return stored, ""
    if not run.complete:
        return None, "the run did not reach its end"
    if run.traces is None:
        return None, f"the run's folder has no {TRACES}"
    try:
        settings = Settings.from_configuration(run.settings)
        case = Case.load(run.folder, settings, run.traces)
        if not len(case.evidence):
            return None, "the store has none of the run's spans"
        return series.of(case.scene()), ""
    except (
        *(OSError, ValueError, KeyError, TypeError),
        *(sqlite3.Error, DecodeError),
    ) as error:
        return None, f"the run's spans cannot be read: {error}"


def _from_new_to_old(runs: Path) -> Iterator[Run]:
    if not runs.is_dir():
        return
    for folder in sorted(runs.iterdir(), reverse=True):
        # One that is being written, or was killed, has no verdict: not looked at.
        if (folder / VERDICT).is_file():
            with contextlib.suppress(ReportError):
                yield load(folder)


def _traces(folder: Path) -> Path | None:
    # A run on a lab that goes on leaves its spans in the lab's own store.
    for path in (folder / TRACES, folder.resolve().parent.parent / TRACES):
        if path.is_file():
            return path
    return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ReportError(f"{path} cannot be read: it holds no object")
    return document


def _lines(path: Path) -> list[dict[str, Any]]:
    found = []
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error}") from error
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            # The last line of a run that was killed.
            continue
    return found
