"""One run as the verdict reads it: everything that was written down, and the spans."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from chaos import journeys
from chaos.checks import LinkTrips, RangeCount, Scene
from chaos.harvest import Account
from chaos.journeys import Journey
from chaos.settings import Settings
from chaos.timeline import Timeline
from observability.evidence import Evidence
from observability.store import TraceStore

SCHEMA = "seawall-run/1"
# Spans of work that outlives the load still belong to the run.
TAIL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The material of one verdict; nothing in it is looked up later."""

    settings: Settings
    timeline: Timeline | None
    journeys: Sequence[Journey]
    evidence: Evidence
    summary: Mapping[str, Any]
    proofs: Mapping[str, Mapping[str, Any]]
    lost: Account | None
    trips: LinkTrips | None = None
    foreign_toxics: Sequence[str] = ()
    invariants: Sequence[Mapping[str, Any]] = field(default=())
    aborted: str = ""
    ranges: Sequence[RangeCount] = ()

    def scene(self) -> Scene:
        """Give the part that checks look at. Raises ValueError without a timeline."""
        if self.timeline is None:
            raise ValueError("the run did not reach its end")
        return Scene(
            journeys=self.journeys,
            evidence=self.evidence,
            timeline=self.timeline,
            region=self.settings.region,
            flashes_s=[
                self.timeline.start_s + float(flash["at_s"])
                for flash in self.settings.flashes()
                if flash["at_s"] >= self.settings.timings.fault_at_s
            ],
            trips=self.trips,
            max_stale_ms=float(self.settings.slo["max_stale_ms"]),
            slo_p95_ms=float(self.settings.slo["p95_ms"]),
            gateway=self.settings.gateway,
            ranges=self.ranges,
        )

    @classmethod
    def load(cls, run_dir: Path, settings: Settings, traces: Path) -> Self:
        """Read a run's files and its spans. Raises OSError, ValueError."""
        document = json.loads((run_dir / "run.json").read_text())
        if document.get("schema") != SCHEMA:
            raise ValueError(f"{run_dir} holds no {SCHEMA} run")
        told = document.get("timeline")
        timeline = Timeline.from_json(told) if told else None
        results = run_dir / "results.jsonl"
        summary = run_dir / "summary.json"
        lost, trips = document.get("lost"), document.get("trips")
        return cls(
            settings=settings,
            timeline=timeline,
            journeys=journeys.read(results) if results.exists() else [],
            evidence=_evidence(timeline, traces, document.get("read_s")),
            summary=json.loads(summary.read_text()) if summary.exists() else {},
            proofs=document.get("proofs", {}),
            lost=Account(**lost) if lost else None,
            trips=LinkTrips(**trips) if trips else None,
            foreign_toxics=document.get("foreign_toxics", ()),
            invariants=document.get("invariants", ()),
            aborted=document.get("aborted", ""),
            ranges=[RangeCount(**one) for one in document.get("ranges", ())],
        )


def _evidence(
    timeline: Timeline | None, traces: Path, read_s: float | None
) -> Evidence:
    if timeline is None or not traces.exists():
        return Evidence(())
    since = int((timeline.start_s - 1) * 1e9)
    # Judged once more, a run still knows nothing of what came after it in the store.
    until = int(min(timeline.end_s + TAIL_S, read_s or math.inf) * 1e9)
    return Evidence(TraceStore(traces).spans(since, until))
