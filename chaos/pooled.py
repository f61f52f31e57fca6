"""The journeys of several cured runs as one: what a single run is too short to prove.

Pure but for `read`. A window of a thousand journeys can show 99.5 %; five of them
together can show 99.9 %.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos import checks, journeys
from chaos.checks import Check
from chaos.figures import percentile
from chaos.journeys import Journey
from chaos.settings import Settings
from chaos.timeline import Timeline

# Fewer runs than this are shown together, and not judged.
LEAST_RUNS = 5
GROUPS = ("affected", "others")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run's journeys that lived through the fault, and their bounds."""

    seed: int
    region: str
    journeys: Sequence[Journey]
    slo: Mapping[str, float]
    affected_journeys: tuple[str, ...] = ()

    def group(self, name: str) -> list[Journey]:
        """Give those whose home was hurt, or the others."""
        affected = name == "affected"
        return [
            one
            for one in self.journeys
            if one.is_of(self.region, self.affected_journeys) is affected
        ]

    def failed(self, group: str) -> list[Journey]:
        """Give those of a group that did not get what they came for."""
        stale = float(self.slo["max_stale_ms"])
        return [one for one in self.group(group) if not one.succeeded(stale)]


def read(run_dir: Path) -> Sample:
    """Read a run that was played to its end. Raises OSError, ValueError."""
    settings = Settings.from_configuration(
        json.loads((run_dir / "settings.json").read_text())
    )
    told = json.loads((run_dir / "run.json").read_text())["timeline"]
    if told is None:
        raise ValueError(f"{run_dir} did not reach its end")
    window = Timeline.from_json(told).during
    found = journeys.under_way(journeys.read(run_dir / "results.jsonl"), window)
    return Sample(
        seed=settings.seed,
        region=settings.region,
        journeys=list(found),
        slo=settings.slo,
        affected_journeys=settings.affected_journeys,
    )


def judge(samples: Sequence[Sample]) -> dict[str, Any]:
    """Sum up the pooled journeys by group, and hold them against the bounds.

    The bounds are the experiment's `pooled_success_ratio` (without it, what each run
    is asked for) and `p95_ms`. With fewer than `LEAST_RUNS` runs there are no checks
    and no verdict.
    """
    applies = len(samples) >= LEAST_RUNS
    found = [*_checks(samples)] if applies else []
    verdict = "pass" if all(check.passed for check in found) else "fail"
    return {
        "profile": "cured",
        "runs": len(samples),
        "least_runs": LEAST_RUNS,
        "seeds": [one.seed for one in samples],
        "groups": {group: _numbers(samples, group) for group in GROUPS},
        "checks": [check.to_json() for check in found],
        "verdict": verdict if applies else None,
    }


def _checks(samples: Sequence[Sample]) -> Sequence[Check]:
    slo = samples[0].slo
    least = float(slo.get("pooled_success_ratio", slo["success_ratio"]))
    found = []
    for group in GROUPS:
        numbers = _numbers(samples, group)
        count = f"{numbers['journeys']} journeys of {len(samples)} runs"
        failed = [one for sample in samples for one in sample.failed(group)]
        share = numbers["success_ratio"] or 0.0
        # Not rounded first: one failure too many must not hide behind a digit.
        exact = 1 - len(failed) / numbers["journeys"] if numbers["journeys"] else 0.0
        found.append(
            Check(
                name=f"pooled_success_{group}",
                passed=exact >= least,
                observed=share,
                expected=f"at least {least:g} of {count}",
                trace_ids=checks.shown(one.trace_id for one in failed),
                note=_where(samples, group),
            )
        )
        p95 = numbers["p95_ms"]
        found.append(
            Check(
                name=f"pooled_p95_{group}",
                passed=(math.inf if p95 is None else p95) <= float(slo["p95_ms"]),
                observed=p95,
                expected=f"at most {float(slo['p95_ms']):g} ms p95 of {count}",
            )
        )
    return found


def _where(samples: Sequence[Sample], group: str) -> str:
    """Tell in which runs they failed: a trace is found in its own run's store."""
    counts = [(sample.seed, len(sample.failed(group))) for sample in samples]
    told = [f"{count} with seed {seed}" for seed, count in counts if count]
    return f"failed: {', '.join(told)}" if told else ""


def _numbers(samples: Sequence[Sample], group: str) -> dict[str, Any]:
    them = [one for sample in samples for one in sample.group(group)]
    failed = sum(len(sample.failed(group)) for sample in samples)
    latencies = sorted(one.latency_ms for one in them)
    return {
        "journeys": len(them),
        "failed": failed,
        "success_ratio": round(1 - failed / len(them), 6) if them else None,
        "p50_ms": _rounded(percentile(latencies, 0.50)),
        "p95_ms": _rounded(percentile(latencies, 0.95)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
