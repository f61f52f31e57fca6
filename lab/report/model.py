"""Everything that a report says, put together once; pages are written from it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from chaos import verdict
from lab.report import compare, repeat, traces, validity, words
from lab.report.compare import Comparison
from lab.report.stored import PROFILES, ReportError, Run, series_of
from lab.report.traces import Library, Told

SCHEMA = "seawall-report/1"
# What two runs of one profile are called, the earlier first.
LETTERS = ("A", "B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report, before it is written in any form."""

    title: str
    runs: Sequence[Run]
    outcome: Mapping[str, Any]
    sentences: tuple[str, str, str]
    series: Mapping[str, Mapping[str, Any] | None]
    series_missing: Mapping[str, str]
    facts: Mapping[str, Sequence[validity.Fact]]
    environment: Mapping[str, Sequence[tuple[str, str]]]
    command: str
    remarks: Sequence[str]
    journey: Sequence[Told]
    journey_missing: str
    evidence: Mapping[str, Mapping[str, Any]]
    left_out: Sequence[str]
    comparison: Comparison | None
    made_at: str

    @property
    def scenario(self) -> str:
        """The experiment."""
        return self.runs[0].scenario

    @property
    def complete(self) -> Sequence[Run]:
        """The runs that have figures."""
        return [run for run in self.runs if run.complete]

    @property
    def drawn(self) -> list[tuple[Run, Mapping[str, Any]]]:
        """The runs that have something drawn from spans."""
        found = []
        for run in self.runs:
            series = self.series[run.label]
            if series is not None:
                found.append((run, series))
        return found

    def to_json(self) -> dict[str, Any]:
        """Give the machine-readable form."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "scenario": self.scenario,
            "made_at": self.made_at,
            "valid": self.outcome["valid"],
            "invalid_reasons": self.outcome["invalid_reasons"],
            "verdict": self.outcome["verdict"],
            "sentences": list(self.sentences),
            "command": self.command,
            "remarks": list(self.remarks),
            "runs": [self._run(run) for run in self.runs],
            "journey": [
                {
                    "label": told.label,
                    "offset_s": told.offset_s,
                    **asdict(told.journey),
                    "trace": told.trace,
                }
                for told in self.journey
            ],
            "journey_missing": self.journey_missing,
            "evidence": dict(self.evidence),
            "left_out": list(self.left_out),
            "comparison": self.comparison and self.comparison.to_json(),
        }

    def _run(self, run: Run) -> dict[str, Any]:
        return {
            "label": run.label,
            "run_dir": str(run.folder),
            **run.told,
            "series": self.series[run.label],
            "series_missing": self.series_missing[run.label],
            "facts": [fact.to_json() for fact in self.facts[run.label]],
            "environment": dict(self.environment[run.label]),
        }


def build(given: Sequence[Run], *, made_at: str = "") -> Report:
    """Put a report together from one run, one of each profile, or two of one profile.

    Raises ReportError when the runs do not belong together.
    """
    runs, comparing = _sorted(given)
    drawn = {run.label: series_of(run) for run in runs}
    library = Library(runs)
    journey = traces.journey(runs, library)
    evidence = library.evidence(runs)
    judged = [run.told for run in runs]
    if comparing:
        # Side by side under their labels: their profile is the same.
        judged = [
            {**run.told, "profile": run.label, "judged_as": run.profile} for run in runs
        ]
    document = verdict.document("report", runs[0].scenario, judged)
    return Report(
        title=words.title(runs[0]),
        runs=runs,
        outcome=document,
        sentences=words.sentences(runs),
        series={label: series for label, (series, _) in drawn.items()},
        series_missing={label: missing for label, (_, missing) in drawn.items()},
        facts={run.label: validity.facts(run) for run in runs},
        environment={run.label: repeat.environment(run) for run in runs},
        command=repeat.command(runs),
        remarks=[*repeat.remarks(runs), *_about_seeds(runs)],
        journey=journey,
        journey_missing="" if journey else _no_journey(runs),
        evidence=evidence,
        left_out=library.left_out,
        comparison=compare.compare(*runs) if comparing else None,
        made_at=made_at or time.strftime("%Y-%m-%d %H:%M:%S %z"),
    )


def _sorted(given: Sequence[Run]) -> tuple[list[Run], bool]:
    if not 1 <= len(given) <= 2:
        raise ReportError(
            "a report is of one run, of one of each profile, or of two of one profile "
            f"to compare; these are {len(given)}"
        )
    if len({run.scenario for run in given}) > 1:
        named = " and ".join(run.scenario for run in given)
        raise ReportError(f"runs of different experiments stand apart: {named}")
    if len(given) == 1:
        return [given[0]], False
    if given[0].profile == given[1].profile:
        return [
            replace(run, label=f"{letter} ({run.profile})")
            for letter, run in zip(LETTERS, given, strict=True)
        ], True
    order = {profile: place for place, profile in enumerate(PROFILES)}
    return sorted(given, key=lambda run: order.get(run.profile, -1)), False


def _about_seeds(runs: Sequence[Run]) -> list[str]:
    if len({run.seed for run in runs}) < 2:
        return []
    seeds = " and ".join(f"{run.label} {run.seed}" for run in runs)
    return [f"The seeds differ ({seeds}): the arrivals are not the same."]


def _no_journey(runs: Sequence[Run]) -> str:
    if not all(run.complete for run in runs):
        return "a run did not reach its end"
    if len({run.seed for run in runs}) > 1:
        return "the seeds differ, so no arrival is the same in both"
    return "no affected customer came in the fault in every run"
