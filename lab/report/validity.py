"""Why a run proves something, fact by fact, or which fact says that it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from lab.report.stored import Run
from lab.report.words import added_ms
from lab.tables import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One condition; `holds` is None where the run did not write it down."""

    name: str
    holds: bool | None
    observed: str
    needed: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def facts(run: Run) -> list[Fact]:
    """Give every condition of a valid run with what was measured."""
    if not run.complete:
        return []
    return [*_fault(run), *_load(run), *_spans(run), *_machine(run), _steady(run)]


def busy_percent(run: Run, since: str, until: str) -> float | None:
    """Give how busy the machine was between two moments of the timeline."""
    if not run.complete:
        return None
    timeline = run.told["timeline"]
    beats = [
        float(beat["percent"])
        for beat in run.summary.get("busy") or ()
        if timeline[since] <= beat["at_s"] < timeline[until]
    ]
    return round(fmean(beats), 1) if beats else None


def _fault(run: Run) -> list[Fact]:
    proofs = run.told.get("proofs") or {}
    if any("times" in one or "looks" in one for one in proofs.values()):
        return _no_fault(proofs)
    bounds = run.settings.get("proof") or {}
    least, most = bounds.get("in_force_at_least_ms"), bounds.get("gone_at_most_ms")
    found = []
    for moment, name, needed in (
        ("in_force", "the fault was in force when it began", least),
        ("still_in_force", "the fault was in force until its end", least),
        ("gone", "the fault was gone after its removal", most),
    ):
        proof = proofs.get(moment)
        added = added_ms(proof)
        observed = "not measured"
        if added:
            observed = f"{added[0]:.0f} to {added[-1]:.0f} ms over the distance"
            observed += f", {len(added)} links"
        word = "at most" if moment == "gone" else "at least"
        found.append(
            Fact(
                name=name,
                holds=proof is not None and not proof.get("wrong"),
                observed=observed,
                needed="" if needed is None else f"{word} {needed:g} ms on every link",
            )
        )
    return found


def _no_fault(proofs: Mapping[str, Mapping[str, Any]]) -> list[Fact]:
    """Give what was counted of a peak of the load, or of a scaler."""
    found = []
    for moment, when in (
        ("in_force", "in force when it began"),
        ("still_in_force", "in force until its end"),
        ("gone", "gone after it"),
    ):
        proof = proofs.get(moment) or {}
        if "times" in proof:
            what, observed = "the peak", f"{proof['times']:g} times the baseline"
        else:
            what = "the scaler"
            looks, added = proof.get("looks", 0), len(proof.get("added", ()))
            observed = f"{looks} looks, {added} links added"
        found.append(
            Fact(
                name=f"{what} was {when}",
                holds=bool(proof) and not proof.get("wrong"),
                observed=observed if proof else "not measured",
                needed=str(proof.get("needed", "")),
            )
        )
    return found


def _load(run: Run) -> list[Fact]:
    load, validity = run.told.get("load") or {}, run.settings.get("validity") or {}
    offered = int(load.get("offered") or 0)
    on_time = int(load.get("sent") or 0) - int(load.get("late") or 0)
    share = float(validity.get("on_time_ratio", 1))
    found = [
        Fact(
            name="the load was sent on time",
            holds=bool(offered) and on_time >= share * offered,
            observed=f"{on_time} of {offered} journeys, the latest "
            f"{load.get('max_lag_ms')} ms after its time",
            needed=f"{share:.0%} of them",
        )
    ]
    groups = run.told.get("groups") or {}
    for name, block, key in (
        ("enough journeys in the fault", run.told["during"], "min_journeys"),
        (
            "enough journeys of affected customers",
            (groups.get("affected") or {}).get("during") or {},
            "min_affected_journeys",
        ),
    ):
        # A shorter run may lower it beside the other bounds.
        least = run.settings.get(key) or validity.get(key)
        if least is not None:
            count = int(block.get("journeys", 0))
            found.append(
                Fact(
                    name=name,
                    holds=count >= int(least),
                    observed=str(count),
                    needed=f"at least {int(least)}",
                )
            )
    return found


def _spans(run: Run) -> list[Fact]:
    validity = run.settings.get("validity") or {}
    lost = run.document.get("lost")
    sent = run.summary.get("spans") or {}
    generator = sum(int(n) for key, n in sent.items() if key.startswith("dropped_"))
    if lost is None:
        return [
            Fact(
                name="no span was lost",
                holds=False,
                observed="not counted",
                needed="0",
            )
        ]
    total = int(lost["services"]) + int(lost["collector"]) + generator
    late, most = int(lost["late"]), int(validity.get("max_late_spans", 0))
    return [
        Fact(
            name="no span was lost",
            holds=not total,
            observed=f"{total} lost of {run.told.get('spans', 'unknown')}",
            needed="0",
        ),
        Fact(
            name="no span came late",
            holds=late <= most,
            observed=str(late),
            needed=f"at most {most}",
        ),
    ]


def _machine(run: Run) -> list[Fact]:
    validity = run.settings.get("validity") or {}
    stalls = run.summary.get("stalls")
    longest = float(validity.get("max_stall_ms", 0))
    timeline = run.told["timeline"]
    ours = [
        float(stall["ms"])
        for stall in stalls or ()
        if timeline["start_s"] <= stall["at_s"] < timeline["end_s"]
    ]
    before = busy_percent(run, "baseline_s", "injecting_s")
    during = busy_percent(run, "in_force_s", "removing_s")
    most = float(validity.get("max_busy_percent", 100))
    return [
        Fact(
            name="the machine did not stall",
            holds=stalls is not None and all(one <= longest for one in ours),
            observed="not recorded"
            if stalls is None
            else f"{len(ours)} stalls, the longest {max(ours):.0f} ms"
            if ours
            else "no stall",
            needed=f"none over {longest:g} ms",
        ),
        Fact(
            name="the machine was not too busy before the fault",
            holds=None if before is None else before <= most,
            observed="not recorded"
            if before is None
            else f"{before:g} % before"
            + ("" if during is None else f", {during:g} % in the fault"),
            needed=f"at most {most:g} % before",
        ),
    ]


def _steady(run: Run) -> Fact:
    needed = (run.settings.get("steady_state") or {}).get(run.profile)
    # The validity of a run counts the journeys that ended in the baseline.
    observed = run.told["before"].get("success_ratio")
    return Fact(
        name="there was a steady state before the fault",
        holds=None
        if needed is None
        else observed is not None and observed >= float(needed),
        observed=f"{number('success_ratio', observed)} succeeded",
        needed="" if needed is None else f"at least {100 * float(needed):g} %",
    )
