"""Whether sick suffers and cured keeps its objectives, as the experiment declares.

Each bound that stands in the file's `disease` or `slo` gives a check, no other does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chaos import checks, figures, journeys
from chaos.case import Case
from chaos.checks import Check
from chaos.figures import Block
from chaos.journeys import Journey
from chaos.timeline import Window

Groups = Mapping[str, Mapping[str, Block]]


def suffering(case: Case, groups: Groups) -> list[Check]:
    """Sick shows its disease in those whom the experiment hits.

    `points`: so many points fewer of their checkouts succeed than before. `p50_ms` and
    `p95_ms`: they wait at least so long. `others_p50_ms`: nobody else does.
    """
    declared = case.settings.disease
    found = []
    if "points" in declared:
        blocks = groups["affected_checkouts"]
        before, during = blocks["before"].success_ratio, blocks["during"].success_ratio
        found.append(
            checks.at_least(
                "affected_checkouts_fail",
                100 * ((before or 0.0) - (during if during is not None else 1.0)),
                float(declared["points"]),
                "points fewer checkouts of affected customers succeed than before",
                _failed(case, affected=True),
            )
        )
    for key in ("p50_ms", "p95_ms"):
        if key in declared:
            waited = getattr(groups["affected"]["during"], key)
            found.append(
                checks.at_least(
                    f"affected_wait_{key.removesuffix('_ms')}",
                    waited if waited is not None else 0.0,
                    float(declared[key]),
                    f"ms {key.removesuffix('_ms')} of affected customers",
                    _slowest(case, affected=True),
                )
            )
    if "others_p50_ms" in declared:
        waited = groups["others"]["during"].p50_ms
        found.append(
            checks.at_most(
                "others_do_not_wait_p50",
                waited if waited is not None else float("inf"),
                float(declared["others_p50_ms"]),
                "ms p50 of everybody else",
                _slowest(case, affected=False),
            )
        )
    return found


def objectives(case: Case, groups: Groups, recovery: float | None) -> list[Check]:
    """Cured keeps the SLO in the fault, for those it hits and the others apart."""
    slo = case.settings.slo
    found = []
    for group in ("affected", "others"):
        block = groups[group]["during"]
        affected = group == "affected"
        if not affected and not _others(case):
            continue
        found.append(
            checks.at_least(
                f"slo_success_{group}",
                block.success_ratio or 0.0,
                float(slo["success_ratio"]),
                "of 1 succeed",
                _failed(case, affected=affected),
            )
        )
        found.append(
            checks.at_most(
                f"slo_p95_{group}",
                block.p95_ms if block.p95_ms is not None else float("inf"),
                float(slo["p95_ms"]),
                "ms p95",
                _slowest(case, affected=affected),
            )
        )
    for group, bound in (
        ("all", "max_degraded"),
        ("affected", "max_degraded_affected"),
    ):
        if bound in slo:
            found.append(
                checks.at_most(
                    f"degraded_{group}",
                    groups[group]["during"].degraded_ratio or 0.0,
                    float(slo[bound]),
                    "of 1 get less than they asked for",
                )
            )
    if "goodput_ratio" in slo:
        found.append(_goodput(case))
    if "recovery_s" in slo:
        found.append(
            Check(
                name="recovery",
                passed=recovery is not None and recovery <= float(slo["recovery_s"]),
                observed=recovery,
                expected=f"back inside the SLO within {slo['recovery_s']:g} s",
            )
        )
    return found


def _goodput(case: Case) -> Check:
    assert case.timeline is not None
    slo, window = case.settings.slo, case.timeline.during
    # The last second left out: a crowd that comes at the end is served after it.
    most = figures.block(
        case.journeys,
        Window(since_s=window.since_s, until_s=window.until_s - 1.0),
        max_stale_ms=float(slo["max_stale_ms"]),
    )
    return checks.at_least(
        "goodput",
        most.goodput_rps / most.offered_rps if most.offered_rps else 0.0,
        float(slo["goodput_ratio"]),
        "of what was offered",
    )


def _others(case: Case) -> bool:
    """Tell whether the experiment leaves anybody out."""
    return bool(case.settings.region or case.settings.affected_journeys)


def _mine(case: Case, *, affected: bool) -> Iterable[Journey]:
    assert case.timeline is not None
    during = journeys.under_way(case.journeys, case.timeline.during)
    return (one for one in during if case.settings.affects(one) is affected)


def _failed(case: Case, *, affected: bool) -> list[str]:
    stale = float(case.settings.slo["max_stale_ms"])
    return [
        one.trace_id
        for one in _mine(case, affected=affected)
        if not one.succeeded(stale)
    ]


def _slowest(case: Case, *, affected: bool) -> list[str]:
    mine = _mine(case, affected=affected)
    return [one.trace_id for one in sorted(mine, key=lambda one: -one.latency_ms)][:5]
