"""Whether statements go on to a gateway that answers late, by where they arrived.

Spans tell which gateway a statement was sent to; that it really was the slow one is
told by how long the statements there took.
"""

from __future__ import annotations

from statistics import median

from chaos import checks
from chaos.checks import Bounds, Check, Scene
from chaos.timeline import Window
from observability import names
from observability.spans import Span


def slow_gateway_keeps_its_share(scene: Scene, bounds: Bounds) -> Check:
    """Show that turns go on sending statements to a gateway that answers late."""
    window = scene.timeline.during
    sent = _sent(scene, window)
    slow = _to(sent, scene.gateway)
    check = checks.at_least(
        "slow_gateway_keeps_its_share",
        _share(slow, sent),
        bounds["at_least"],
        f"of {scene.region}'s statements went to {scene.gateway} while it was slow",
        [span.trace_id for span in sorted(slow, key=lambda one: -one.duration_ms)],
    )
    return _slow_enough(check, slow, sent, bounds)


def slow_gateway_is_left(scene: Scene, bounds: Bounds) -> Check:
    """Hold that statements leave a gateway that answers late, though it answers.

    From `within_s` after the fault began, against the share that it had before.
    """
    within_s = float(bounds["within_s"])
    during = scene.timeline.during
    late = Window(since_s=during.since_s + within_s, until_s=during.until_s)
    before = _sent(scene, scene.timeline.before)
    had = _share(_to(before, scene.gateway), before)
    sent = _sent(scene, late)
    slow = _to(sent, scene.gateway)
    check = checks.at_most(
        "slow_gateway_is_left",
        _share(slow, sent),
        bounds["at_most"],
        f"of {scene.region}'s statements went to {scene.gateway} after {within_s:g} s",
        [span.trace_id for span in slow],
    )
    least = int(bounds.get("min_statements", 1))
    if len(sent) < least:
        return checks.unproven(check, f"only {len(sent)} statements to the region")
    if had < float(bounds["had_at_least"]):
        return checks.unproven(check, f"it had no more than {had:.0%} before")
    return check


def slow_gateway_comes_back(scene: Scene, bounds: Bounds) -> Check:
    """Hold that the gateway has its share again some time after it has recovered."""
    after = scene.timeline.after
    late = Window(
        since_s=after.since_s + float(bounds["within_s"]), until_s=after.until_s
    )
    sent = _sent(scene, late)
    back = _to(sent, scene.gateway)
    return checks.at_least(
        "slow_gateway_comes_back",
        _share(back, sent),
        bounds["at_least"],
        f"of {scene.region}'s statements go to {scene.gateway} again",
        [span.trace_id for span in back],
    )


def _slow_enough(
    check: Check, slow: list[Span], sent: list[Span], bounds: Bounds
) -> Check:
    least_ms = float(bounds["slower_by_ms"])
    there = {span.span_id for span in slow}
    elsewhere = [span.duration_ms for span in sent if span.span_id not in there]
    took = [span.duration_ms for span in slow]
    if not took or not elsewhere:
        return checks.unproven(check, "no two gateways to compare")
    by_ms = median(took) - median(elsewhere)
    if by_ms < least_ms:
        return checks.unproven(check, f"there they took {by_ms:.0f} ms more only")
    return check


def _sent(scene: Scene, window: Window) -> list[Span]:
    """Give the statements that were sent to any gateway of the region from inside it.

    From other regions the distance would hide which one is slow.
    """
    return scene.evidence.statements(
        between=(window.since_ns, window.until_ns),
        where=lambda span: (
            checks.gateway_region(span) == scene.region and not checks.crosses(span)
        ),
    )


def _to(sent: list[Span], gateway: str) -> list[Span]:
    return [span for span in sent if span.attributes.get(names.GATEWAY_NAME) == gateway]


def _share(some: list[Span], whole: list[Span]) -> float:
    return len(some) / len(whole) if whole else 0.0
