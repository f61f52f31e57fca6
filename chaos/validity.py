"""Whether a run proves anything: the fault real, the load delivered, nothing lost."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from chaos import figures, journeys
from chaos.case import Case


def reasons(case: Case) -> list[str]:
    """Give every reason why the run is invalid; none when it counts."""
    if case.aborted:
        return [case.aborted]
    if case.timeline is None:
        return ["the run did not reach its end"]
    return [
        *_fault(case),
        *_load(case),
        *_spans(case),
        *_machine(case),
        *_steady_state(case),
    ]


def _fault(case: Case) -> list[str]:
    found = []
    for moment, said in (
        ("in_force", "the fault was not in force when it began"),
        ("still_in_force", "the fault was not in force until its end"),
        ("gone", "the fault was not gone after its removal"),
    ):
        proof = case.proofs.get(moment)
        if proof is None:
            found.append(f"{said}: not measured")
        elif proof.get("wrong"):
            found.append(f"{said}: {', '.join(proof['wrong'][:3])}")
    found += [f"a toxic that is not ours: {one}" for one in case.foreign_toxics[:3]]
    return found


def _load(case: Case) -> list[str]:
    summary = case.summary
    offered = int(summary.get("offered", 0))
    on_time = int(summary.get("sent", 0)) - int(summary.get("late", 0))
    needed = float(case.settings.validity["on_time_ratio"])
    found = []
    if not offered:
        return ["no load was delivered"]
    if on_time < needed * offered:
        found.append(
            f"only {on_time} of {offered} journeys were sent on time, "
            f"{needed:.0%} are needed"
        )
    if len(case.journeys) < offered - int(summary.get("dropped", 0)):
        found.append(f"{offered - len(case.journeys)} journeys have no result")
    assert case.timeline is not None
    during = list(journeys.under_way(case.journeys, case.timeline.during))
    affected = sum(map(case.settings.affects, during))
    for count, what, bound in (
        (len(during), "journeys", "min_journeys"),
        (affected, "journeys of affected customers", "min_affected_journeys"),
    ):
        least = int(case.settings.validity[bound])
        if count < least:
            found.append(f"{count} {what} in the fault, {least} are needed")
    return found


def _spans(case: Case) -> list[str]:
    found = []
    lost = case.lost
    sent = case.summary.get("spans") or {}
    generator = sum(
        int(value) for key, value in sent.items() if key.startswith("dropped_")
    )
    if lost is None:
        found.append("lost spans were not counted")
    else:
        total = lost.services + lost.collector + generator
        if total:
            found.append(f"{total} spans were lost")
        if lost.late > int(case.settings.validity["max_late_spans"]):
            found.append(f"{lost.late} spans came late")
    known = set(case.evidence.trace_ids)
    unseen = sum(one.trace_id not in known for one in case.journeys)
    if unseen:
        found.append(f"{unseen} journeys have no trace")
    return found


def _machine(case: Case) -> list[str]:
    stalls, busy = case.summary.get("stalls"), case.summary.get("busy")
    if stalls is None or not busy:
        return ["the machine's heartbeat was not recorded"]
    assert case.timeline is not None
    whole, before = case.timeline.whole, case.timeline.before
    longest = float(case.settings.validity["max_stall_ms"])
    found = []
    long = [
        stall
        for stall in stalls
        if stall["ms"] > longest and whole.since_s <= stall["at_s"] < whole.until_s
    ]
    if long:
        worst = max(stall["ms"] for stall in long)
        found.append(f"the machine stalled {len(long)} times, up to {worst:.0f} ms")
    percents = [
        beat["percent"]
        for beat in busy
        if before.since_s <= beat["at_s"] < before.until_s
    ]
    most = float(case.settings.validity["max_busy_percent"])
    if percents and fmean(percents) > most:
        found.append(
            f"the machine was {fmean(percents):.0f} % busy before the fault, "
            f"{most:g} % are allowed"
        )
    return found


def _steady_state(case: Case) -> list[str]:
    assert case.timeline is not None
    needed = float(case.settings.steady_state[case.settings.profile])
    found = figures.block(
        case.journeys,
        case.timeline.before,
        max_stale_ms=float(case.settings.slo["max_stale_ms"]),
    ).success_ratio
    return unsteady(found, needed)


def unsteady(success_ratio: float | None, needed: float) -> list[str]:
    """Tell whether the baseline is too bad to compare with."""
    if success_ratio is not None and success_ratio >= needed:
        return []
    shown = "nobody came" if success_ratio is None else f"{success_ratio:.1%} succeeded"
    return [f"no steady state: {shown} before the fault, {needed:.1%} are needed"]


def too_busy(percent: float, most: float) -> str:
    """Say that the machine, not the system, may be why; empty when it is not."""
    if percent <= most:
        return ""
    return (
        f" (the machine was {percent:.0f} % busy, {most:g} % are allowed: "
        "it does other things, or is too slow for this load)"
    )


def busy_percent(summary: Mapping[str, Any]) -> list[float]:
    """Give the machine's load, second by second."""
    return [float(beat["percent"]) for beat in summary.get("busy") or ()]
