"""The verdict of a run, and the one object that says it.

Pure: the same case gives the same verdict. Invalid comes before failed, since a run
that proves nothing is no failure either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from chaos import checks, figures, series, slo, sql_figures, validity
from chaos.case import Case
from chaos.checks import Check, Scene
from chaos.cures import CURES
from chaos.diseases import DISEASES
from chaos.slo import Groups

SCHEMA = "seawall/1"
Verdict = Literal["pass", "fail"]

PASS, FAIL, USAGE, INVALID, INTERRUPTED = 0, 1, 2, 3, 130


def judge(case: Case) -> dict[str, Any]:
    """Judge one run by what its experiment declares for its profile.

    Gives the profile's figures, checks and invariants, with `valid`,
    `invalid_reasons` and `verdict`, which is None when the run is invalid.
    """
    invalid = validity.reasons(case)
    settings = case.settings
    base = {"profile": settings.profile, "seed": settings.seed}
    if case.timeline is None:
        return {**base, **_outcome(invalid, [], [])}
    scene = case.scene()
    groups = figures.groups(
        case.journeys,
        case.timeline,
        affected=settings.affects,
        max_stale_ms=scene.max_stale_ms,
    )
    recovery = figures.recovery_s(
        filter(settings.affects, case.journeys),
        gone_s=case.timeline.gone_s,
        end_s=case.timeline.end_s,
        success_ratio=float(settings.slo["success_ratio"]),
        p95_ms=float(settings.slo["p95_ms"]),
        max_stale_ms=scene.max_stale_ms,
    )
    wanted = settings.checks.get(settings.profile, {})
    if settings.profile == "sick":
        found = [
            *slo.suffering(case, groups),
            *checks.run(DISEASES, wanted, scene),
        ]
    else:
        found = [
            *slo.objectives(case, groups, recovery),
            *checks.run(CURES, wanted, scene),
        ]
    return {
        **base,
        **_numbers(case, scene, groups, recovery),
        "checks": [check.to_json() for check in found],
        "invariants": list(case.invariants),
        **_outcome(invalid, found, case.invariants),
    }


def _outcome(
    invalid: Sequence[str],
    found: Iterable[Check],
    invariants: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    good = all(check.passed for check in found) and all(
        one["passed"] for one in invariants if one.get("counts", True)
    )
    verdict: Verdict | None = None
    if not invalid:
        verdict = "pass" if good else "fail"
    return {
        "valid": not invalid,
        "invalid_reasons": list(invalid),
        "verdict": verdict,
    }


def _numbers(
    case: Case, scene: Scene, groups: Groups, recovery: float | None
) -> dict[str, Any]:
    during, before = groups["all"]["during"], groups["all"]["before"]
    sql = sql_figures.of(scene)
    attempts = case.evidence.attempts_per_call(between=scene.during)
    assert case.timeline is not None
    return {
        "success_ratio": during.success_ratio,
        "degraded_ratio": during.degraded_ratio,
        "p50_ms": during.p50_ms,
        "p95_ms": during.p95_ms,
        "p99_ms": during.p99_ms,
        "goodput_rps": during.goodput_rps,
        "offered_rps": during.offered_rps,
        "sql_per_checkout": sql.per_checkout,
        "sql_round_trips_per_checkout": sql.round_trips_per_checkout,
        "cross_region_sql_per_checkout": sql.cross_region_per_checkout,
        "cross_region_spans_per_checkout": sql.cross_region_spans_per_checkout,
        "attempts_per_call": round(attempts.ratio, 4),
        "peak_identical_loads": sql_figures.peak_identical_loads(scene),
        "first_statements_in_50_ms": sql_figures.first_statements(scene)[0],
        "recovery_s": recovery,
        "baseline": before.to_json(),
        "before": before.to_json(),
        "during": during.to_json(),
        "after": groups["all"]["after"].to_json(),
        "groups": {
            group: {when: block.to_json() for when, block in blocks.items()}
            for group, blocks in groups.items()
            if group != "all"
        },
        "timeline": case.timeline.to_json(),
        "proofs": dict(case.proofs),
        "per_second": figures.per_second(
            case.journeys, case.timeline, max_stale_ms=scene.max_stale_ms
        ),
        "load": {
            key: case.summary.get(key)
            for key in ("offered", "sent", "late", "dropped", "max_lag_ms")
        },
        "spans": len(case.evidence),
        "series": series.of(scene),
    }


def document(
    command: str, scenario: str, judged: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Put judged runs of one scenario together, in the shape of every `--json`.

    Runs of one seed stand side by side by profile. All must be valid for the whole to
    be, and all must pass for it to pass.
    """
    results: dict[int, dict[str, Any]] = {}
    invalid: list[str] = []
    for one in judged:
        seed = int(one["seed"])
        result = results.setdefault(
            seed, {"scenario": scenario, "seed": seed, "profiles": {}}
        )
        result["profiles"][one["profile"]] = dict(one)
        invalid += [f"{one['profile']}: {why}" for why in one["invalid_reasons"]]
    if not judged:
        invalid.append("nothing was run")
    verdict: Verdict | None = None
    if not invalid:
        verdict = "pass" if all(one["verdict"] == "pass" for one in judged) else "fail"
    return {
        "schema": SCHEMA,
        "command": command,
        "valid": not invalid,
        "invalid_reasons": invalid,
        "verdict": verdict,
        "results": list(results.values()),
    }


def exit_code(told: Mapping[str, Any]) -> int:
    """Give the exit code for a document or a judged run."""
    if not told["valid"]:
        return INVALID
    return PASS if told["verdict"] == "pass" else FAIL
