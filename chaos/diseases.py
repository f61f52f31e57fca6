"""What a sick platform must show, for the experiment to have hit the right nerve."""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median
from types import MappingProxyType

from chaos import (
    capacity,
    chatter,
    checks,
    conflicts,
    gateways,
    homes,
    networks,
    splits,
    sql_figures,
)
from chaos.checks import Bounds, Check, CheckFunction, Scene
from observability import names
from observability.spans import Span


def statements_cross_regions(scene: Scene, bounds: Bounds) -> Check:
    """Round-robin over all gateways sends a checkout's statements round the world.

    Counted by the links; the spans must tell of it too.
    """
    figures = sql_figures.of(scene)
    crossing = Counter(
        span.trace_id
        for span in scene.evidence.statements(
            between=scene.during, where=checks.crosses
        )
        if span.trace_id in scene.by_trace
    )
    traces = [trace for trace, _ in crossing.most_common(checks.SHOWN_TRACES)]
    observed = figures.cross_region_per_checkout or 0.0
    check = checks.at_least(
        "statements_cross_regions",
        observed,
        bounds["at_least"],
        "paid round trips between regions per checkout, seen in spans as well",
        traces,
    )
    return check if traces else checks.unproven(check, "no span tells of it")


def chatty_checkout(scene: Scene, bounds: Bounds) -> Check:
    """Show that a checkout makes its statements one by one (median of successes)."""
    counts: defaultdict[str, int] = defaultdict(int)
    for span in scene.evidence.statements(control=False):
        counts[span.trace_id] += 1
    timeline = scene.timeline
    done = scene.checkouts(timeline.baseline_s, timeline.removing_s, successful=True)
    numbers = {one.trace_id: counts[one.trace_id] for one in done}
    worst = sorted(numbers, key=lambda trace: -numbers[trace])
    return checks.at_least(
        "chatty_checkout",
        median(numbers.values()) if numbers else 0,
        bounds["at_least"],
        "statements in a checkout (median)",
        worst,
    )


def identical_loads_pile_up(scene: Scene, bounds: Bounds) -> Check:
    """Everybody who misses an expired entry loads it: overlapping equal statements."""
    loads = sql_figures.identical_loads(scene)
    worst = loads[0] if loads else None
    return checks.at_least(
        "identical_loads_pile_up",
        worst.peak if worst else 0,
        bounds["at_least"],
        "identical loads at the same time",
        worst.trace_ids if worst else (),
    )


def attempts_amplify(scene: Scene, bounds: Bounds) -> Check:
    """Every hop tries again: attempts served per call, on the worst edge."""
    edge = sql_figures.worst_edge(scene, min_calls=int(bounds.get("min_calls", 20)))
    return checks.at_least(
        "attempts_amplify",
        edge.ratio,
        bounds["at_least"],
        f"attempts served per call of {edge.method or 'any method'}",
        edge.trace_ids,
    )


def work_after_caller_left(scene: Scene, bounds: Bounds) -> Check:
    """Statements run on for callers that have given up."""
    later_than = float(bounds.get("later_than_ms", 0))
    late = sql_figures.late_statements(scene, later_than_ms=later_than)
    return checks.at_least(
        "work_after_caller_left",
        len(late),
        bounds["at_least"],
        f"statements that ended over {later_than:g} ms after their caller had left",
        [span.trace_id for span in late],
    )


def deadlines_do_not_shrink(scene: Scene, bounds: Bounds) -> Check:
    """Show that a callee is given more time than its caller has left."""
    broken = sql_figures.unshrunk(scene, float(bounds.get("tolerance_ms", 150)))
    return checks.at_least(
        "deadlines_do_not_shrink",
        len(broken),
        bounds["at_least"],
        "calls with more time than their caller had left",
        [span.trace_id for span in broken],
    )


def connections_run_out(scene: Scene, bounds: Bounds) -> Check:
    """Slow answers hold the connections, and everybody else waits for one."""
    longer_than = float(bounds.get("longer_than_ms", 500))

    def waited(span: Span) -> bool:
        return span.duration_ms >= longer_than

    waits = scene.evidence.select(
        name=names.SPAN_POOL_ACQUIRE, between=scene.during, where=waited
    )
    waits.sort(key=lambda span: -span.duration_ms)
    return checks.at_least(
        "connections_run_out",
        len(waits),
        bounds["at_least"],
        f"waits of {longer_than:g} ms or more for a connection",
        [span.trace_id for span in waits],
    )


def queue_outlives_fault(scene: Scene, bounds: Bounds) -> Check:
    """Show that customers still wait for the queue when the fault is gone."""
    grace_s = float(bounds.get("grace_s", 0.5))
    hurt = [
        one
        for one in scene.journeys
        if scene.timeline.gone_s + grace_s <= one.intended_s < scene.timeline.end_s
        and (one.latency_ms > scene.slo_p95_ms or not one.succeeded(scene.max_stale_ms))
    ]
    return checks.at_least(
        "queue_outlives_fault",
        len(hurt),
        bounds["at_least"],
        f"journeys begun over {grace_s:g} s after the fault, yet slow or failed",
        [one.trace_id for one in sorted(hurt, key=lambda one: -one.latency_ms)],
    )


DISEASES: MappingProxyType[str, CheckFunction] = MappingProxyType(
    {
        check.__name__: check
        for check in (
            statements_cross_regions,
            chatty_checkout,
            identical_loads_pile_up,
            attempts_amplify,
            work_after_caller_left,
            deadlines_do_not_shrink,
            connections_run_out,
            queue_outlives_fault,
            homes.checkouts_go_round_the_world,
            chatter.calls_one_by_one,
            networks.one_network_waits,
            networks.pages_search_every_region,
            gateways.slow_gateway_keeps_its_share,
            conflicts.buyers_lose_to_each_other,
            conflicts.buyers_wait_for_locks,
            conflicts.bookings_lose_to_each_other,
            capacity.capacity_is_added,
            capacity.capacity_changes_nothing,
            splits.ranges_split_at_peak,
        )
    }
)
