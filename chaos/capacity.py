"""What became of gateways that were added: asked or not, and whether it helped.

Added gateways are those that statements were sent to in the phase and never before it:
seen in spans, whatever the one who added them has written down.
"""

from __future__ import annotations

from collections import Counter
from statistics import median

from chaos import checks
from chaos.checks import Bounds, Check, Scene
from chaos.figures import percentile
from chaos.journeys import Journey
from observability import names
from observability.spans import Span


def capacity_is_added(scene: Scene, bounds: Bounds) -> Check:
    """Show that statements are sent to gateways that were not there before."""
    new = _new(scene)
    least = int(bounds["min_statements"])
    asked = {name for name, count in _counts(new).items() if count >= least}
    return checks.at_least(
        "capacity_is_added",
        len(asked),
        bounds["at_least"],
        f"new gateways were asked {least} times or more",
        [span.trace_id for span in new],
    )


def capacity_changes_nothing(scene: Scene, bounds: Bounds) -> Check:
    """Show that checkouts are no quicker with more gateways than before with fewer.

    The median checkout of the phase's second half over that of the baseline, failures
    included; new gateways must have had their share of the statements by then.
    """
    timeline = scene.timeline
    middle_s = (timeline.in_force_s + timeline.removing_s) / 2
    before = scene.checkouts(timeline.baseline_s, timeline.injecting_s)
    after = scene.checkouts(middle_s, timeline.removing_s)
    times = _median(after) / _median(before) if before and after else 0.0
    check = checks.at_least(
        "capacity_changes_nothing",
        times,
        bounds["at_least"],
        "times the median checkout of before, with more gateways",
        [one.trace_id for one in sorted(after, key=lambda one: -one.latency_ms)],
    )
    late = (int(middle_s * 1e9), timeline.during.until_ns)
    sent = scene.evidence.statements(between=late)
    known = {span.span_id for span in _new(scene)}
    share = sum(span.span_id in known for span in sent) / len(sent) if sent else 0.0
    least = float(bounds["share_at_least"])
    if share < least:
        return checks.unproven(check, f"the new ones got {share:.0%} only")
    return check


def capacity_is_not_missed(scene: Scene, bounds: Bounds) -> Check:
    """Hold that checkouts were quick before any gateway was added.

    The 95th percentile of those that were meant to start in the baseline, failures
    included: whatever a scaler sees in its counts, nobody waited for a gateway.
    """
    timeline = scene.timeline
    before = scene.checkouts(timeline.baseline_s, timeline.injecting_s)
    waited = percentile(sorted(one.latency_ms for one in before), 0.95)
    check = checks.at_most(
        "capacity_is_not_missed",
        waited if waited is not None else float("inf"),
        bounds["at_most_ms"],
        "ms p95 of checkouts before any gateway was added",
        [one.trace_id for one in sorted(before, key=lambda one: -one.latency_ms)],
    )
    good = sum(one.succeeded(scene.max_stale_ms) for one in before)
    least = int(bounds["min_checkouts"])
    if good < max(least, len(before)):
        return checks.unproven(check, f"{good} of {len(before)} succeeded")
    return check


def _new(scene: Scene) -> list[Span]:
    start_ns = scene.timeline.start_s * 1e9
    before = (int(start_ns), scene.timeline.before.until_ns)
    known = set(_counts(scene.evidence.statements(between=before)))
    return [
        span
        for span in scene.evidence.statements(between=scene.during)
        if _gateway(span) and _gateway(span) not in known
    ]


def _counts(spans: list[Span]) -> Counter[str]:
    return Counter(name for span in spans if (name := _gateway(span)))


def _gateway(span: Span) -> str:
    return str(span.attributes.get(names.GATEWAY_NAME, ""))


def _median(some: list[Journey]) -> float:
    return median(one.latency_ms for one in some)
