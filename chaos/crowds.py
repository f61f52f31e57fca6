"""What a flash crowd may do to the databases of a cured platform: next to nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from chaos import checks, sql_figures
from chaos.checks import Bounds, Check, Scene
from chaos.journeys import FLASH
from observability import names
from observability.spans import Span

#: What the catalog calls the list that flash crowds read, on its spans.
FRONT_PAGE_KEY = "front page"


def one_load_per_process(scene: Scene, bounds: Bounds) -> Check:
    """Hold that a crowd at an expired entry makes each process load it once."""
    watched_s = float(bounds.get("watched_s", 3))
    worst, traces = 0, tuple[str, ...]()
    for at_s in scene.flashes_s:
        between = int(at_s * 1e9), int((at_s + watched_s) * 1e9)
        loads = _by_load(
            scene.evidence.statements(
                control=False,
                between=between,
                where=lambda span: names.DB_KEY in span.attributes,
            )
        )
        for group in loads.values():
            peak = scene.evidence.peak_overlap(group)
            if peak.peak > worst:
                worst, traces = peak.peak, peak.trace_ids
    check = checks.at_most(
        "one_load_per_process",
        worst,
        bounds["at_most"],
        "equal loads at the same time in one process after a flash crowd",
        traces,
    )
    return _of_a_crowd(check, scene, bounds)


def one_load_per_region(scene: Scene, bounds: Bounds) -> Check:
    """Hold that the crowd's entry is loaded by one process of each region, once.

    A load of a millisecond overlaps with none, so the processes are counted too.
    """
    watched_s = float(bounds.get("watched_s", 1))
    worst, traces, seen = 0, tuple[str, ...](), 0
    for at_s in scene.flashes_s:
        between = int(at_s * 1e9), int((at_s + watched_s) * 1e9)
        loads: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
        for span in scene.evidence.statements(
            control=False,
            between=between,
            where=lambda span: span.attributes.get(names.DB_KEY) == FRONT_PAGE_KEY,
        ):
            loads[span.region, span.name].append(span)
        for group in loads.values():
            peak = scene.evidence.peak_overlap(group)
            loaders = len({span.instance for span in group})
            seen += loaders
            if max(peak.peak, loaders) > worst:
                worst = max(peak.peak, loaders)
                traces = tuple(span.trace_id for span in group)
    check = checks.at_most(
        "one_load_per_region",
        worst,
        bounds["at_most"],
        "processes of a region, or loads at a time, for the page a crowd reads",
        traces,
    )
    return check if seen else checks.unproven(check, "nobody loaded the page")


def few_readers_reach_the_database(scene: Scene, bounds: Bounds) -> Check:
    """Hold that a crowd is answered from copies: hardly a reader's trace has SQL."""
    most, traces = sql_figures.first_statements(scene)
    check = checks.at_most(
        "few_readers_reach_the_database",
        most,
        bounds["at_most"],
        "readers of a crowd with their first statement in the same 50 ms",
        traces,
    )
    return _of_a_crowd(check, scene, bounds)


def _of_a_crowd(check: Check, scene: Scene, bounds: Bounds) -> Check:
    crowd = sum(one.journey == FLASH for one in scene.journeys)
    if crowd < int(bounds.get("min_readers", 1)):
        return checks.unproven(check, f"only {crowd} readers came in a crowd")
    return check


def _by_load(spans: Iterable[Span]) -> dict[tuple[str, str, str], list[Span]]:
    groups: defaultdict[tuple[str, str, str], list[Span]] = defaultdict(list)
    for span in spans:
        key = str(span.attributes[names.DB_KEY])
        groups[span.instance, span.name, key].append(span)
    return groups
