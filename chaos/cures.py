"""What a cured platform must show; none of it rests on what a policy says of itself.

Events tell when a breaker changed; whether statements really stopped is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from types import MappingProxyType

from chaos import (
    breakers,
    capacity,
    chatter,
    checks,
    conflicts,
    crowds,
    figures,
    gateways,
    homes,
    journeys,
    networks,
    pool_waits,
    splits,
    sql_figures,
)
from chaos.checks import Bounds, Check, CheckFunction, Scene
from chaos.journeys import CHECKOUT, FALLBACK, HISTORY, INTAKE, STALE, Journey
from observability import names
from observability.spans import Span

ACCEPT_INTAKE = "shop.v1.Orders/AcceptIntake"
INSERT_INTAKE = "INSERT intake"
PROBE_KEY = "probe"
# A history that did not come from its home.
SECOND_HAND = (FALLBACK, f"{STALE}:HISTORY_FROM_COPY")


def stale_copies_served(scene: Scene, bounds: Bounds) -> Check:
    """Readers get the last good copy, marked with its age, and do not wait."""
    stale = [
        one
        for one in _during(scene)
        if any(reason.startswith(STALE) for reason in one.degraded_reasons)
        and one.outcome == "success"
    ]
    old = [one for one in stale if one.stale_ms > scene.max_stale_ms]
    slow = [one for one in stale if one.latency_ms > scene.slo_p95_ms]
    check = checks.at_least(
        "stale_copies_served",
        len(stale),
        bounds["at_least"],
        f"stale answers, each at most {scene.max_stale_ms / 1000:g} s old and in time",
        [one.trace_id for one in stale],
    )
    if old or len(slow) > 0.05 * len(stale):
        return checks.unproven(check, f"{len(old)} too old, {len(slow)} too slow")
    return check


def orders_taken_elsewhere(scene: Scene, bounds: Bounds) -> Check:
    """Another region commits the order before the customer is answered.

    An answer that claims it must have the commit in its trace, ended before it.
    """
    taken, unsupported = [], []
    for one in _during(scene):
        if one.home != scene.region or one.journey != CHECKOUT or not one.trace_id:
            continue
        committed = _intake_commit(scene, one)
        if committed is not None and one.outcome == "success":
            taken.append(one.trace_id)
        elif committed is None and _claims_intake(one):
            unsupported.append(one.trace_id)
    check = checks.at_least(
        "orders_taken_elsewhere",
        len(taken),
        bounds["at_least"],
        f"orders of {scene.region} committed in another region's intake",
        taken,
    )
    if unsupported:
        return Check(
            name=check.name,
            passed=False,
            observed=check.observed,
            expected=check.expected,
            trace_ids=checks.shown(unsupported),
            note=f"{len(unsupported)} answers claim an intake that no span shows",
        )
    return check


def slow_database_left_alone(scene: Scene, bounds: Bounds) -> Check:
    """Hold that a checkout asks the slow database once at most."""
    since, until = scene.during
    counts: defaultdict[str, int] = defaultdict(int)
    for span in scene.evidence.statements(between=(since, until)):
        if checks.gateway_region(span) == scene.region:
            counts[span.trace_id] += 1
    mine = {
        one.trace_id: counts[one.trace_id]
        for one in _during(scene)
        if one.journey == CHECKOUT
    }
    worst = max(mine.values(), default=0)
    check = checks.at_most(
        "slow_database_left_alone",
        worst,
        bounds["at_most"],
        f"statements to {scene.region}'s database in any one checkout",
        [trace for trace, count in mine.items() if count == worst and count],
    )
    return check if mine else checks.unproven(check, "there were no checkouts")


def gateways_ask_no_other_region(scene: Scene, bounds: Bounds) -> Check:
    """Hold that with the region in every predicate no gateway looks elsewhere.

    Counted by the links between the database servers; histories must have been read.
    """
    trips = scene.trips
    between = trips.between_gateways if trips is not None else None
    read = [
        one
        for one in _during(scene)
        if one.journey == HISTORY and not one.degraded and one.outcome == "success"
    ]
    check = checks.at_most(
        "gateways_ask_no_other_region",
        between if between is not None else float("inf"),
        bounds["at_most"],
        "round trips between the regions' database servers",
        [one.trace_id for one in sorted(read, key=lambda one: -one.latency_ms)],
    )
    if between is None:
        return checks.unproven(check, "the links' trips were not told apart")
    least = int(bounds.get("min_histories", 1))
    if len(read) < least:
        return checks.unproven(check, f"only {len(read)} histories were read")
    return check


def pools_are_warm(scene: Scene, bounds: Bounds) -> Check:
    """Hold that no process opens a connection while customers wait for it.

    In the fault one to the slow region takes nine slow round trips. From the baseline
    on, since everything has run by then.
    """
    since, until = scene.timeline.before.since_ns, scene.timeline.during.until_ns
    opened = scene.evidence.select(name=names.SPAN_CONNECT, between=(since, until))
    return checks.at_most(
        "pools_are_warm",
        len(opened),
        bounds["at_most"],
        "connections opened between the baseline and the fault's end",
        [span.trace_id for span in opened],
    )


def histories_fall_back(scene: Scene, bounds: Bounds) -> Check:
    """Hold that customers of the hurt region see orders we remember or have a copy of.

    In time, and without a statement to the region's own database.
    """
    served = [
        one
        for one in _during(scene)
        if one.journey == HISTORY
        and one.home == scene.region
        and one.outcome == "success"
        and any(r.startswith(SECOND_HAND) for r in one.degraded_reasons)
    ]
    slow = [one for one in served if one.latency_ms > scene.slo_p95_ms]
    asked = [one for one in served if _asks(scene, one, scene.region)]
    check = checks.at_least(
        "histories_fall_back",
        len(served),
        bounds["at_least"],
        f"histories of {scene.region} second-hand, in time, without its database",
        [one.trace_id for one in served],
    )
    # The statement that found out belongs to one of them here and there.
    if slow or len(asked) > len(served) / 2:
        return checks.unproven(check, f"{len(slow)} slow, {len(asked)} with its SQL")
    return check


def probes_are_exact(scene: Scene, bounds: Bounds) -> Check:
    """Hold that an open breaker sends just its permits at a time to find out."""
    permits = int(bounds["permits"])
    rounds: defaultdict[str, int] = defaultdict(int)
    for span in scene.evidence.statements(probes=True, between=scene.during):
        if (
            span.attributes.get(names.DB_PROBE)
            and span.attributes.get(names.DB_KEY) == PROBE_KEY
        ):
            rounds[span.trace_id] += 1
    odd = [trace for trace, sent in rounds.items() if sent > permits]
    check = checks.at_most(
        "probes_are_exact",
        max(rounds.values(), default=0),
        permits,
        f"probes in any of {len(rounds)} rounds",
        odd or rounds,
    )
    return check if rounds else checks.unproven(check, "nobody probed")


def no_statements_while_open(scene: Scene, bounds: Bounds) -> Check:
    """While a process' breaker is open, it sends nothing but probes."""
    grace_ns = int(float(bounds.get("grace_ms", 50)) * 1e6)
    sent: list[Span] = []
    intervals = breakers.open_intervals(scene, f"database@{scene.region}")
    for instance, spans in intervals.items():
        for opened_ns, closed_ns in spans:
            sent += scene.evidence.statements(
                between=(opened_ns + grace_ns, closed_ns),
                where=lambda span, instance=instance: (  # type: ignore[misc]
                    span.instance == instance
                    and checks.gateway_region(span) == scene.region
                ),
            )
    check = checks.at_most(
        "no_statements_while_open",
        len(sent),
        bounds["at_most"],
        f"statements to {scene.region}'s database behind an open breaker",
        [span.trace_id for span in sent],
    )
    return check if intervals else checks.unproven(check, "no breaker was open")


def nothing_after_caller_left(scene: Scene, bounds: Bounds) -> Check:
    """No statement outlives its caller, but for the one on the wire at that moment."""
    later_than = float(bounds.get("later_than_ms", 600))
    late = sql_figures.late_statements(scene, later_than_ms=later_than)
    return checks.at_most(
        "nothing_after_caller_left",
        len(late),
        bounds["at_most"],
        f"statements that ended over {later_than:g} ms after their caller had left",
        [span.trace_id for span in late],
    )


def deadlines_shrink(scene: Scene, bounds: Bounds) -> Check:
    """No callee is given more time than its caller has left, in any trace."""
    broken = sql_figures.unshrunk(scene, float(bounds.get("tolerance_ms", 150)))
    check = checks.at_most(
        "deadlines_shrink",
        len(broken),
        bounds["at_most"],
        "calls with more time than their caller had left",
        [span.trace_id for span in broken],
    )
    told = any(
        names.DEADLINE_REMAINING_MS in span.attributes
        for span in scene.evidence.select(kind="SERVER", between=scene.during)
    )
    return (
        check if told else checks.unproven(check, "no server span tells its deadline")
    )


def retries_within_budget(scene: Scene, bounds: Bounds) -> Check:
    """Retries stay few: attempts served per call, on the worst edge."""
    edge = sql_figures.worst_edge(scene, min_calls=int(bounds.get("min_calls", 20)))
    check = checks.at_most(
        "retries_within_budget",
        edge.ratio,
        bounds["at_most"],
        f"attempts served per call of {edge.method or 'any method'}",
        edge.trace_ids,
    )
    return check if edge.calls else checks.unproven(check, "no calls were seen")


def others_notice_nothing(scene: Scene, bounds: Bounds) -> Check:
    """Hold that customers at home in other regions wait no longer than before."""
    worst, worst_excess = "", float("-inf")
    traces: list[str] = []
    for name in sorted({one.journey for one in scene.journeys}):
        home = [
            one
            for one in scene.journeys
            if one.journey == name and not one.away and one.home != scene.region
        ]
        before = figures.block(home, scene.timeline.before).p95_ms
        lived = list(journeys.under_way(home, scene.timeline.during))
        during = figures.block(
            home, scene.timeline.during, choose=journeys.under_way
        ).p95_ms
        if before is None or during is None:
            continue
        # The p95 of a handful is its slowest, and says nothing.
        least = int(bounds.get("min_journeys", 1))
        if sum(1 for _ in journeys.ended(home, scene.timeline.before)) < least:
            continue
        allowed = max(
            before * float(bounds["times"]), before + float(bounds["plus_ms"])
        )
        if during - allowed > worst_excess:
            worst_excess = during - allowed
            worst = f"{name} p95 {before:g} ms before, {during:g} ms during"
            traces = [
                one.trace_id for one in sorted(lived, key=lambda one: -one.latency_ms)
            ]
    return Check(
        name="others_notice_nothing",
        passed=bool(worst) and worst_excess <= 0,
        observed=worst or "nobody to compare",
        expected=(
            f"p95 at most {bounds['times']:g} times or {bounds['plus_ms']:g} ms more "
            "than before, each journey, customers at home"
        ),
        trace_ids=checks.shown(traces),
    )


def _during(scene: Scene) -> Iterable[Journey]:
    return journeys.offered(scene.journeys, scene.timeline.during)


def _asks(scene: Scene, one: Journey, region: str) -> bool:
    return any(
        span.is_sql and checks.gateway_region(span) == region
        for span in scene.evidence.trace(one.trace_id)
    )


def _claims_intake(one: Journey) -> bool:
    return any(INTAKE in reason for reason in one.degraded_reasons)


def _intake_commit(scene: Scene, one: Journey) -> Span | None:
    answered_ns = int(one.done_s * 1e9)
    for span in scene.evidence.trace(one.trace_id):
        if span.kind != "SERVER" or span.name != ACCEPT_INTAKE:
            continue
        if span.region == scene.region:
            continue
        for below in scene.evidence.descendants(span):
            if (
                below.name == INSERT_INTAKE
                and below.status != "ERROR"
                and checks.gateway_region(below) not in {"", scene.region}
                and below.end_ns <= answered_ns
            ):
                return below
    return None


CURES: MappingProxyType[str, CheckFunction] = MappingProxyType(
    {
        check.__name__: check
        for check in (
            crowds.one_load_per_process,
            crowds.one_load_per_region,
            crowds.few_readers_reach_the_database,
            stale_copies_served,
            orders_taken_elsewhere,
            slow_database_left_alone,
            gateways_ask_no_other_region,
            histories_fall_back,
            probes_are_exact,
            pools_are_warm,
            no_statements_while_open,
            nothing_after_caller_left,
            deadlines_shrink,
            retries_within_budget,
            others_notice_nothing,
            breakers.breakers_open_in_time,
            breakers.breakers_close_in_time,
            breakers.healthy_breakers_stay_closed,
            homes.statements_stay_home,
            chatter.few_statements_per_checkout,
            chatter.few_calls_per_checkout,
            networks.no_network_waits,
            networks.pages_stay_in_their_region,
            gateways.slow_gateway_is_left,
            gateways.slow_gateway_comes_back,
            pool_waits.pool_waits_are_bounded,
            pool_waits.waiting_for_nothing_is_told,
            conflicts.buyers_do_not_lose,
            conflicts.bookings_do_not_lose,
            capacity.capacity_is_not_missed,
            splits.ranges_were_split_before,
        )
    }
)
