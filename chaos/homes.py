"""Whether statements stay where the rows live: counted by links, seen in spans."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from chaos import checks, sql_figures
from chaos.checks import Bounds, Check, Scene
from chaos.journeys import CHECKOUT
from observability.spans import Span


def checkouts_go_round_the_world(scene: Scene, bounds: Bounds) -> Check:
    """Show that the statements of one checkout are sent to servers of every region.

    The median, over checkouts, of the regions whose servers were asked; each must have
    got statements by the spans, and the links must have been paid for.
    """
    regions: defaultdict[str, set[str]] = defaultdict(set)
    for span in scene.evidence.statements():
        regions[span.trace_id].add(checks.gateway_region(span))
    since, until = scene.timeline.during.since_s, scene.timeline.during.until_s
    counts = {
        one.trace_id: len(regions[one.trace_id] - {""})
        for one in scene.checkouts(since, until, successful=True)
    }
    check = checks.at_least(
        "checkouts_go_round_the_world",
        median(counts.values()) if counts else 0,
        bounds["at_least"],
        "regions whose databases a checkout asks (median)",
        sorted(counts, key=lambda trace: -counts[trace]),
    )
    if scene.trips is None or not scene.trips.cross_region:
        return checks.unproven(check, "no link between regions counted a trip")
    return check


def statements_stay_home(scene: Scene, bounds: Bounds) -> Check:
    """Hold that a checkout at home pays for no trip between regions.

    Counted by the links, and by the spans of checkouts that were made at home.
    """
    least = int(bounds.get("min_checkouts", 1))
    figures = sql_figures.of(scene)
    at_home = {
        one.trace_id
        for one in scene.journeys
        if one.journey == CHECKOUT and not one.away and one.trace_id
    }

    def strays(span: Span) -> bool:
        return span.trace_id in at_home and checks.crosses(span)

    stray = scene.evidence.statements(between=scene.during, where=strays)
    asked = sum(
        span.trace_id in at_home
        for span in scene.evidence.statements(between=scene.during)
    )
    trips = figures.cross_region_per_checkout
    check = checks.at_most(
        "statements_stay_home",
        max(trips if trips is not None else float("inf"), float(len(stray))),
        bounds["at_most"],
        "trips between regions per checkout, or statements of one made at home",
        [span.trace_id for span in stray],
    )
    if figures.checkouts < least or asked < least:
        return checks.unproven(
            check, f"{figures.checkouts} checkouts made {asked} statements"
        )
    return check
