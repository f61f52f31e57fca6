"""What happened, in three sentences that the numbers make.

True of runs that passed, failed, prove nothing, or stand alone: nothing is said that a
number of the run does not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.report.stored import Run
from lab.tables import number


def title(run: Run) -> str:
    """Name the experiment as its file does."""
    experiment = run.journal.get("experiment") or {}
    return str(experiment.get("title") or run.scenario)


def sentences(runs: Sequence[Run]) -> tuple[str, str, str]:
    """Say what was done and what came of it, in three sentences."""
    if not all(run.told.get("valid") for run in runs):
        return _invalid(runs)
    if len(runs) == 1:
        return fault(runs[0]), lived(runs[0]), _judged(runs[0])
    return fault(runs[0]), lived(runs[0]), lived(runs[1])


def fault(run: Run) -> str:
    """Say what was done to the shop, when, and that it was measured."""
    since, until = run.moment("in_force_s"), run.moment("removing_s")
    text = f"For {until - since:.1f} s, from second {since:.1f} of the load on, "
    text += _what(run)
    proofs = run.told.get("proofs") or {}
    added, gone = added_ms(proofs.get("in_force")), added_ms(proofs.get("gone"))
    if added:
        text += (
            f": statements to its database took {_span(added)} longer than the "
            "distance alone"
        )
    if added and gone:
        text += f", and {_span(gone)} longer once it was taken off"
    return f"{text}."


def _what(run: Run) -> str:
    """Say what was done: a fault, a peak of the load, or a scaler let loose."""
    bounds = run.settings.get("proof") or {}
    if run.settings.get("scaler"):
        return "a scaler was at work, and nothing was broken"
    stress = run.settings.get("stress")
    if stress and "in_force_at_least_ms" not in bounds:
        return f"the load was {stress['times']:g} times the usual, and nothing broken"
    text = f"the fault was in force in {run.region or 'the lab'}"
    if stress:
        text += f", under {stress['times']:g} times the usual load"
    return text


def lived(run: Run) -> str:
    """Say how the customers of one run came through the fault."""
    before, during = run.told["before"], run.told["during"]
    success = number("success_ratio", during.get("success_ratio"))
    text = f"{_name(run)}: {success} of the journeys in the fault succeeded"
    was = before.get("success_ratio")
    if was is not None:
        text += f" ({number('success_ratio', was)} before it)"
    degraded = during.get("degraded_ratio")
    if degraded:
        text += f", {number('degraded_ratio', degraded)} with less than was asked for"
    hurt = (run.told.get("groups") or {}).get("affected_checkouts") or {}
    ours, theirs = hurt.get("during") or {}, hurt.get("before") or {}
    if ours.get("success_ratio") is not None and ours["success_ratio"] < 1:
        whose = f"{run.region}'s" if run.region else "affected"
        text += f", of the checkouts of {whose} customers "
        text += number("success_ratio", ours["success_ratio"])
        if theirs.get("success_ratio") is not None:
            text += f" ({number('success_ratio', theirs['success_ratio'])})"
    text += f"; p95 was {ms(during.get('p95_ms'))}"
    if before.get("p95_ms") is not None:
        text += f" ({ms(before['p95_ms'])} before it)"
    return f"{text}, and {_recovered(run)}."


def ms(value: float | None) -> str:
    """Write milliseconds as a person says them."""
    if value is None:
        return "unknown"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def added_ms(proof: Mapping[str, Any] | None) -> list[float]:
    """Give what each faulted link added to its distance when it was measured."""
    if not proof:
        return []
    distances = proof.get("distances_ms") or {}
    return sorted(
        float(took) - float(distances.get(link, 0.0))
        for link, took in (proof.get("round_trips_ms") or {}).items()
        if took is not None
    )


def _invalid(runs: Sequence[Run]) -> tuple[str, str, str]:
    reasons = [
        f"{run.label}: {reason}" if len(runs) > 1 else str(reason)
        for run in runs
        for reason in run.told.get("invalid_reasons", ())
    ]
    more = f" ({len(reasons) - 1} more below)" if len(reasons) > 1 else ""
    why = reasons[0] if reasons else "no reason was written down"
    first = f"This proves nothing, since it is invalid: {why}{more}."
    complete = [run for run in runs if run.complete]
    if not complete:
        return first, _stopped(runs[0]), "No figures were judged."
    if len(complete) == 1:
        return first, fault(complete[0]), lived(complete[0])
    return first, lived(complete[0]), lived(complete[1])


def _stopped(run: Run) -> str:
    told = [line for line in run.progress if line.get("at_s") is not None]
    if not told:
        return "It ended before its load began."
    last = told[-1]
    return (
        f"It came to second {last['at_s']:.0f} of {last.get('of_s', 0):.0f}, "
        f"in the phase {last['phase']!r}."
    )


def _judged(run: Run) -> str:
    checks = run.told.get("checks", ())
    passed = sum(bool(check["passed"]) for check in checks)
    broken = [
        one["name"]
        for one in run.told.get("invariants", ())
        if not one["passed"] and one.get("counts", True)
    ]
    text = f"{passed} of {len(checks)} checks of the {run.profile} profile are seen"
    text += (
        f", but the data breaks {', '.join(broken)}"
        if broken
        else " and the data invariants that count hold"
    )
    return f"{text}: the verdict is {run.told.get('verdict')}."


def _name(run: Run) -> str:
    return run.label[:1].upper() + run.label[1:]


def _recovered(run: Run) -> str:
    recovery = run.told.get("recovery_s")
    region = f"{run.region}'s customers" if run.region else "the customers"
    if recovery is None:
        window = run.moment("end_s") - run.moment("gone_s")
        return f"{region} were not back inside the SLO in the {window:.0f} s after it"
    if recovery == 0:
        return f"{region} were back inside the SLO as soon as it was gone"
    return f"{region} were back inside the SLO {recovery:g} s after it"


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return f"{low} ms" if low == high else f"{low} to {high} ms"
