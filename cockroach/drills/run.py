"""A drill by name: rounds at each size, judged together, and extended to 10 GB.

Intervals are scaled, and the promised RPO with them. The RTO is not: it is what was
measured, at sizes far below a real database's. What grows with the data is extended
to ten gigabytes beside it, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from opentelemetry import trace

from cockroach.drills import backup, operator_error, standby
from cockroach.drills.crisis import PROMOTION, RESTORE, Crisis
from cockroach.drills.errors import DrillError, DrillUnavailableError
from cockroach.drills.faults import FAULTS
from cockroach.drills.growth import extrapolate
from cockroach.drills.judge import Judgement
from cockroach.drills.plan import Outcome, Plan
from cockroach.drills.targets import Target
from cockroach.drills.workplace import Workplace
from observability import names

FAR_GB = 10.0
Progress = Callable[[str, float], None]
# The rounds after the first measure the time; their day need not be as long.
_LATER_DAY_PART = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A drill that runs on servers of its own. `grows` may grow with the data."""

    title: str
    play: Callable[[Crisis, int, Plan], Judgement]
    grows: tuple[str, ...]
    any_fault: bool = False


DRILLS: Mapping[str, Drill] = MappingProxyType(
    {
        "backup-restore": Drill(
            title="A region burns down; last night's copy is restored elsewhere",
            play=lambda crisis, rows, plan: backup.run(
                crisis, rows, day_part=plan.day_part
            ),
            grows=(RESTORE,),
        ),
        "warm-standby": Drill(
            title="A server is lost; a standby fed from the log's archive takes over",
            play=lambda crisis, rows, _: standby.run(crisis, "warm", rows),
            grows=(PROMOTION,),
            any_fault=True,
        ),
        "hot-standby": Drill(
            title="A server is lost; a standby streaming over the WAN takes over",
            play=lambda crisis, rows, _: standby.run(crisis, "hot", rows),
            grows=(PROMOTION,),
            any_fault=True,
        ),
        "hot-standby-sync": Drill(
            title="The same with commits that wait for the standby",
            play=lambda crisis, rows, _: standby.run(crisis, "sync", rows),
            grows=(PROMOTION,),
            any_fault=True,
        ),
        "operator-error": Drill(
            title="A bad DELETE reaches the standby at once; the backup saves the rows",
            play=lambda crisis, rows, _: operator_error.run(crisis, rows),
            grows=(RESTORE, operator_error.REPAIR),
        ),
    }
)


def faults_of(name: str) -> list[str]:
    """Give the faults that a drill can be run with; none where it has its own."""
    drill = DRILLS.get(name)
    return list(FAULTS) if drill is not None and drill.any_fault else []


def run(
    name: str,
    *,
    target: Target,
    plan: Plan,
    folder: Path,
    tracer: trace.Tracer,
    progress: Progress = lambda _what, _done: None,
) -> dict[str, Any]:
    """Run a drill below a folder and give its result as plain JSON values.

    Nothing of it is left in the folder. Raises DrillError, EmbeddedError, LinkError
    or OSError where it could not be carried out.
    """
    drill = DRILLS[name]
    if plan.fault != "kill" and not drill.any_fault:
        raise DrillUnavailableError(f"{name} has one fault of its own")
    outcomes: list[Outcome] = []
    with Workplace(folder) as workplace:
        for number, rows in enumerate(plan.sizes):
            progress(f"{rows} rows", number / len(plan.sizes))
            part = plan if number == 0 else _shorter(plan)
            with workplace.round(f"round-{number}") as place:
                crisis = Crisis(place=place, plan=part, target=target, tracer=tracer)
                outcomes.append(_one(name, drill, crisis, rows))
    return result(name, target=target, plan=plan, outcomes=outcomes)


def _shorter(plan: Plan) -> Plan:
    return replace(plan, day_part=min(plan.day_part, _LATER_DAY_PART))


def _one(name: str, drill: Drill, crisis: Crisis, rows: int) -> Outcome:
    attributes: dict[str, str | int] = {
        names.DRILL_NAME: name,
        names.DRILL_FAULT: crisis.plan.fault,
        names.DRILL_ROWS: rows,
    }
    with crisis.tracer.start_as_current_span(
        f"{names.SPAN_DRILL} {name}", attributes=attributes
    ) as span:
        try:
            judgement = drill.play(crisis, rows, crisis.plan)
        except psycopg.Error as error:
            raise DrillError(f"{name}: {error}") from error
        span.set_attribute(names.DRILL_RPO_S, judgement.rpo_s)
        span.set_attribute(names.DRILL_LOST_ROWS, len(judgement.lost))
        if judgement.rto_s is not None:
            span.set_attribute(names.DRILL_RTO_S, judgement.rto_s)
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    return crisis.outcome(judgement, grows=drill.grows, trace_id=trace_id)


def result(
    name: str, *, target: Target, plan: Plan, outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Judge the rounds together: the worst of each figure; pure.

    Failed when one valid round failed, else invalid when one round is: a loss that was
    shown is not undone by another round that shows nothing.
    """
    judged = [one.judgement for one in outcomes]
    times = [one.rto_s for one in judged]
    slowest = None if None in times else max(t for t in times if t is not None)
    doubts = [f"{one.rows} rows: {why}" for one in outcomes for why in one.doubts]
    reasons = [f"{o.rows} rows: {r}" for o in outcomes for r in o.judgement.reasons]
    failed = any(one.judgement.verdict == "fail" and not one.doubts for one in outcomes)
    if failed:
        reasons, doubts = [*reasons, *(f"{why} (no proof)" for why in doubts)], []
    longest = max(outcomes, key=lambda one: one.judgement.rto_s or float("inf"))
    return {
        "name": name,
        "solution": target.solution,
        "owner": target.owner,
        "cost": target.cost,
        "fault": plan.fault,
        "target_rpo_s": target.scaled_rpo_s,
        "rpo_s": round(max(one.rpo_s for one in judged), 3),
        "lost_rows": max(len(one.lost) for one in judged),
        "target_rto_s": target.rto_s,
        "rto_s": None if slowest is None else round(slowest, 3),
        "phases": list(longest.phases),
        "verdict": "fail" if failed else None if doubts else "pass",
        "valid": not doubts,
        "invalid_reasons": doubts,
        "reasons": reasons,
        "scale": _scale(target),
        "rounds": [one.document() for one in outcomes],
        "far": _far(outcomes, target),
    }


def _scale(target: Target) -> dict[str, float]:
    return {
        "time_scale": target.time_scale,
        "promised_rpo_s": target.rpo_s,
        "promised_interval_s": target.interval_s,
        "interval_s": target.scaled_interval_s,
    }


def _far(outcomes: Sequence[Outcome], target: Target) -> dict[str, Any] | None:
    """Extend the phases that grow to ten gigabytes, and add the others' longest."""
    if any(one.judgement.rto_s is None for one in outcomes):
        return None
    measured = [(one.size_bytes, one.recovery_s) for one in outcomes]
    grown = extrapolate(measured, gigabytes=FAR_GB)
    if grown is None:
        return None
    rest = max((one.judgement.rto_s or 0.0) - one.recovery_s for one in outcomes)
    rto_s = grown.seconds + rest
    return {
        "gigabytes": FAR_GB,
        "rto_s": round(rto_s, 1),
        "seconds_per_gb": round(grown.seconds_per_gb, 2),
        "grows": grown.grows,
        "within_target": rto_s <= target.rto_s,
    }
