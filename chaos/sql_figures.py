"""Numbers of a run from its spans: statements, round trips, attempts, equal loads."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from chaos.checks import Scene, crosses
from chaos.journeys import FLASH
from observability.evidence import IdenticalLoads
from observability.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlFigures:
    """Means over the checkouts of the fault's window; None without checkouts."""

    checkouts: int
    # Statements of the application.
    per_checkout: float | None
    # The same with BEGIN, COMMIT and ROLLBACK, each of which is a round trip.
    round_trips_per_checkout: float | None
    # Paid trips between regions that the links counted, the checkouts' share of them.
    cross_region_per_checkout: float | None
    # The same from spans alone.
    cross_region_spans_per_checkout: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Calls of one method: how many, and how many attempts the callee served."""

    method: str = ""
    calls: int = 0
    served: int = 0
    trace_ids: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """Attempts served per call."""
        return self.served / self.calls if self.calls else 0.0


def of(scene: Scene) -> SqlFigures:
    """Count what the checkouts of the fault's window cost."""
    window = scene.timeline.during
    asked = {
        one.trace_id for one in scene.checkouts(window.since_s, window.until_s)
    } - {""}
    mine = [
        span
        for span in scene.evidence.statements()
        if span.trace_id in asked and span.start_ns < window.until_ns
    ]
    application = scene.evidence.statements(control=False)
    counted = sum(
        span.trace_id in asked and span.start_ns < window.until_ns
        for span in application
    )
    crossing = sum(crosses(span) for span in mine)
    return SqlFigures(
        checkouts=len(asked),
        per_checkout=_mean(counted, len(asked)),
        round_trips_per_checkout=_mean(len(mine), len(asked)),
        cross_region_per_checkout=_trips_per_checkout(scene),
        cross_region_spans_per_checkout=_mean(crossing, len(asked)),
    )


def _trips_per_checkout(scene: Scene) -> float | None:
    """Share the links' trips out by what the spans say crossed the regions."""
    trips = scene.trips
    if trips is None:
        return None
    asked = {one.trace_id for one in scene.checkouts(trips.since_s, trips.until_s)}
    asked.discard("")
    if not asked:
        return None
    between = int(trips.since_s * 1e9), int(trips.until_s * 1e9)
    crossing = scene.evidence.statements(between=between, where=crosses)
    mine = sum(span.trace_id in asked for span in crossing)
    # Trips that no span accounts for are nobody else's: they stay with the checkouts.
    share = mine / len(crossing) if crossing else 1.0
    return round(trips.cross_region * share / len(asked), 3)


def worst_edge(scene: Scene, *, min_calls: int) -> Edge:
    """Find the method whose callee served the most attempts per call."""
    often = [edge for edge in edges(scene) if edge.calls >= min_calls]
    return max(often, key=lambda edge: edge.ratio, default=Edge())


def edges(scene: Scene) -> list[Edge]:
    """Count, method by method, the fault's calls and the attempts that were served."""
    calls: defaultdict[str, int] = defaultdict(int)
    served: defaultdict[str, int] = defaultdict(int)
    traces: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    evidence = scene.evidence
    for span in evidence.select(kind="CLIENT", between=scene.during):
        method = span.rpc_method
        if not method or span.is_attempt:
            continue
        arrived = 0
        for child in evidence.children(span):
            if child.kind == "SERVER":
                arrived += 1
            elif child.is_attempt:
                below = evidence.children(child)
                arrived += sum(grandchild.kind == "SERVER" for grandchild in below)
        if not arrived:
            continue
        calls[method] += 1
        served[method] += arrived
        if arrived > 1:
            traces[method].append((arrived, span.trace_id))
    return [
        Edge(
            method=method,
            calls=count,
            served=served[method],
            trace_ids=tuple(trace for _, trace in sorted(traces[method], reverse=True)),
        )
        for method, count in calls.items()
    ]


#: The width of the bins in which first statements are counted.
FIRST_BIN_NS = 50_000_000
#: How long after the fault a crowd that came at its end still loads.
LAST_CROWD_NS = 3_000_000_000


def identical_loads(scene: Scene) -> list[IdenticalLoads]:
    """Group the fault's statements by text and key, the most at one time first.

    The crowd that comes as the fault ends belongs to it.
    """
    since, until = scene.during
    between = (since, until + LAST_CROWD_NS)
    return scene.evidence.identical_loads(
        scene.evidence.statements(control=False, between=between)
    )


def peak_identical_loads(scene: Scene) -> int:
    """Count the most statements of one text and key that ran at the same time."""
    loads = identical_loads(scene)
    return loads[0].peak if loads else 0


def first_statements(scene: Scene) -> tuple[int, tuple[str, ...]]:
    """Count the readers of a crowd who came to a database in its worst 50 ms.

    By the first statement of each reader's trace: statements in the same 50 ms are no
    measure of a herd, since a healthy checkout makes its own in twenty. Gives the
    count, and the traces.
    """
    worst: list[str] = []
    for at_s in scene.flashes_s:
        since, until = int(at_s * 1e9), int(at_s * 1e9) + LAST_CROWD_NS
        first: dict[str, int] = {}
        for span in scene.evidence.statements(control=False, between=(since, until)):
            began = first.get(span.trace_id)
            if began is None or span.start_ns < began:
                first[span.trace_id] = span.start_ns
        bins: defaultdict[int, list[str]] = defaultdict(list)
        for trace, began in first.items():
            reader = scene.by_trace.get(trace)
            if reader is not None and reader.journey == FLASH:
                bins[(began - since) // FIRST_BIN_NS].append(trace)
        worst = max([worst, *bins.values()], key=len)
    return len(worst), tuple(worst)


def late_statements(scene: Scene, *, later_than_ms: float) -> list[Span]:
    """Give the statements begun in the fault that outlived their caller's patience."""
    since, until = scene.during
    return [
        work.span
        for work in scene.evidence.after_deadline(tolerance_ms=later_than_ms)
        if work.span.is_sql and since <= work.span.start_ns < until
    ]


def unshrunk(scene: Scene, tolerance_ms: float) -> list[Span]:
    """Give the server spans with a deadline after that of the server which called."""
    since, until = scene.timeline.whole.since_ns, scene.timeline.whole.until_ns
    return [
        broken.span
        for broken in scene.evidence.shrinking_deadlines(tolerance_ms=tolerance_ms)
        if since <= broken.span.start_ns < until
    ]


def _mean(total: int, count: int) -> float | None:
    return round(total / count, 3) if count else None
