"""How many statements and calls a checkout makes, and how many one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import median

from chaos import checks
from chaos.checks import Bounds, Check, Scene
from observability.spans import Span


def few_statements_per_checkout(scene: Scene, bounds: Bounds) -> Check:
    """Hold that nine of ten checkouts make few statements, whatever is in the basket.

    BEGIN and COMMIT are none. Work that goes on after the answer counts too.
    """
    counts = _per_checkout(scene, scene.evidence.statements(control=False))
    return _at_most("few_statements_per_checkout", counts, bounds, "statements")


def few_calls_per_checkout(scene: Scene, bounds: Bounds) -> Check:
    """Hold that nine of ten checkouts make few calls between services."""
    counts = _per_checkout(scene, _calls(scene))
    return _at_most("few_calls_per_checkout", counts, bounds, "calls")


def calls_one_by_one(scene: Scene, bounds: Bounds) -> Check:
    """Show that a checkout calls a service again for each product in its basket.

    The most calls of one method in a checkout, none of which overlaps another of them
    (median over checkouts).
    """
    methods: Counter[tuple[str, str]] = Counter()
    ended: dict[tuple[str, str], int] = {}
    overlap: set[tuple[str, str]] = set()
    for span in _calls(scene):
        key = (span.trace_id, span.rpc_method)
        methods[key] += 1
        if span.start_ns < ended.get(key, 0):
            overlap.add(key)
        ended[key] = max(span.end_ns, ended.get(key, 0))
    asked = _asked(scene)
    most = dict.fromkeys(asked, 0)
    for (trace, method), count in methods.items():
        if trace in most and (trace, method) not in overlap:
            most[trace] = max(most[trace], count)
    return checks.at_least(
        "calls_one_by_one",
        median(most.values()) if most else 0,
        bounds["at_least"],
        "calls of one method after each other in a checkout (median)",
        sorted(most, key=lambda trace: -most[trace]),
    )


def _calls(scene: Scene) -> list[Span]:
    return scene.evidence.select(
        kind="CLIENT",
        where=lambda span: bool(
            span.rpc_method and not span.is_attempt and span.parent_id
        ),
    )


def _asked(scene: Scene) -> list[str]:
    window = scene.timeline.during
    found = scene.checkouts(window.since_s, window.until_s, successful=True)
    return [one.trace_id for one in found if one.trace_id]


def _per_checkout(scene: Scene, spans: list[Span]) -> dict[str, int]:
    counts = Counter(span.trace_id for span in spans)
    return {trace: counts[trace] for trace in _asked(scene)}


def _at_most(name: str, counts: Mapping[str, int], bounds: Bounds, what: str) -> Check:
    order = sorted(counts, key=lambda trace: -counts[trace])
    # The nearest rank from above: nine of ten make no more than this.
    observed = counts[order[len(order) // 10]] if order else float("inf")
    check = checks.at_most(
        name, observed, bounds["at_most"], f"{what} in nine of ten checkouts", order
    )
    least = int(bounds.get("min_checkouts", 1))
    if len(counts) < least:
        return checks.unproven(check, f"only {len(counts)} checkouts succeeded")
    if not any(counts.values()):
        return checks.unproven(check, f"no {what} were seen at all")
    return check
