"""What the spans of a run draw: breakers in time, herds at crowds, attempts by edge.

Pure, and compact enough to stand in a verdict: whoever draws it needs no spans. Times
are seconds from the start of the load, to the millisecond.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from chaos import breakers, sql_figures
from chaos.breakers import Change
from chaos.checks import Scene
from observability import names
from observability.evidence import IdenticalLoads
from observability.spans import Span

SCHEMA = 1
# A crowd is drawn from a little before it comes until its loads are done.
HERD_BEFORE_S = 0.25
HERD_AFTER_S = 3.0
FIRST_BIN_MS = 50
# Bounds of what is kept; what lies beyond them is counted as left out.
MAX_LANES = 24
MAX_CHANGES = 120
MAX_EDGES = 24
MAX_STEPS = 600


def of(scene: Scene) -> dict[str, Any]:
    """Give everything that is drawn from spans."""
    return {
        "schema": SCHEMA,
        "breakers": _breakers(scene),
        "herds": [_herd(scene, at_s) for at_s in scene.flashes_s],
        "edges": _edges(scene),
    }


def _breakers(scene: Scene) -> dict[str, Any]:
    start_s = scene.timeline.start_s
    lanes: defaultdict[tuple[str, str], list[Change]] = defaultdict(list)
    for change in breakers.changes(scene):
        lanes[change.breaker, change.instance].append(change)
    # Those that changed first, first; a lane's name decides between equals.
    order = sorted(lanes, key=lambda lane: (lanes[lane][0].time_ns, lane))
    return {
        "left_out": max(0, len(lanes) - MAX_LANES),
        "lanes": [
            {
                "breaker": breaker,
                "instance": instance,
                "left_out": max(0, len(lanes[breaker, instance]) - MAX_CHANGES),
                "changes": [
                    {
                        "at_s": round(change.time_ns / 1e9 - start_s, 3),
                        "old": change.old,
                        "new": change.new,
                        "reason": change.reason,
                        "trace_id": change.trace_id,
                    }
                    for change in lanes[breaker, instance][:MAX_CHANGES]
                ],
            }
            for breaker, instance in order[:MAX_LANES]
        ],
    }


def _herd(scene: Scene, at_s: float) -> dict[str, Any]:
    """Tell how one crowd reached the database, in milliseconds from its arrival."""
    at_ns = int(at_s * 1e9)
    between = (
        at_ns - int(HERD_BEFORE_S * 1e9),
        at_ns + int(HERD_AFTER_S * 1e9),
    )
    loads = scene.evidence.statements(control=False, between=between)
    found = scene.evidence.identical_loads(loads)
    hottest = found[0] if found else None
    steps = _running(_those(loads, hottest), at_ns) if hottest else []
    return {
        "at_s": round(at_s - scene.timeline.start_s, 3),
        "since_ms": -1000 * HERD_BEFORE_S,
        "until_ms": 1000 * HERD_AFTER_S,
        "summary": hottest.summary if hottest else "",
        "key": hottest.key if hottest else "",
        "peak": hottest.peak if hottest else 0,
        "loads": hottest.loads if hottest else 0,
        "trace_ids": list(hottest.trace_ids[:5]) if hottest else [],
        "steps": steps[:MAX_STEPS],
        "steps_left_out": max(0, len(steps) - MAX_STEPS),
        "bin_ms": FIRST_BIN_MS,
        "first_statements": _first_statements(scene, at_ns, loads),
    }


def _those(loads: Iterable[Span], hottest: IdenticalLoads) -> list[Span]:
    return [
        span
        for span in loads
        if str(span.attributes.get(names.DB_KEY)) == hottest.key
        and str(span.attributes.get(names.DB_QUERY_SUMMARY, span.name))
        == hottest.summary
    ]


def _running(spans: Sequence[Span], at_ns: int) -> list[list[float]]:
    """Give how many run, from each moment on at which that number changes."""
    edges: Counter[int] = Counter()
    for span in spans:
        edges[span.start_ns] += 1
        edges[span.end_ns] -= 1
    steps: list[list[float]] = []
    running = 0
    for time_ns in sorted(edges):
        if edges[time_ns]:
            running += edges[time_ns]
            steps.append([round((time_ns - at_ns) / 1e6, 1), running])
    return steps


def _first_statements(
    scene: Scene, at_ns: int, loads: Iterable[Span]
) -> list[list[int]]:
    """Count, in bins of time, the roots that came in the window and first asked then.

    A bin without any is left out; a root counts once, at its first statement.
    """
    came = {
        one.trace_id
        for one in scene.journeys
        if -HERD_BEFORE_S <= one.intended_s - at_ns / 1e9 < HERD_AFTER_S
    }
    first: dict[str, int] = {}
    for span in loads:
        if span.trace_id in came:
            known = first.get(span.trace_id, span.start_ns)
            first[span.trace_id] = min(known, span.start_ns)
    width = FIRST_BIN_MS * 1_000_000
    bins = Counter((time_ns - at_ns) // width for time_ns in first.values())
    return [[index * FIRST_BIN_MS, bins[index]] for index in sorted(bins)]


def _edges(scene: Scene) -> dict[str, Any]:
    """Give the methods called in the fault, the most attempts per call first."""
    edges = sorted(
        sql_figures.edges(scene), key=lambda edge: (-edge.ratio, -edge.calls)
    )
    return {
        "left_out": max(0, len(edges) - MAX_EDGES),
        "methods": [
            {
                "method": edge.method,
                "calls": edge.calls,
                "served": edge.served,
                "ratio": round(edge.ratio, 4),
                "trace_ids": list(edge.trace_ids[:3]),
            }
            for edge in edges[:MAX_EDGES]
        ],
    }
