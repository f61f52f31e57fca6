"""Transactions that lose to each other, and statements that wait for a lock.

A statement or COMMIT that the database refuses has its SQLSTATE on the span; which
attempt of a transaction it was is counted from the BEGINs of its trace.
"""

from __future__ import annotations

import math
from collections import Counter

from chaos import checks
from chaos.checks import Bounds, Check, Scene
from observability import names
from observability.spans import Span

# Serialization failure, deadlock, lock not available.
LOST = frozenset({"40001", "40P01", "55P03"})
# Two that took the same number: the database has more than one way to say it.
TAKEN = "23505"


def buyers_lose_to_each_other(scene: Scene, bounds: Bounds) -> Check:
    """Show that checkouts of one product make each other's transactions fail."""
    lost = _lost(scene)
    asked = _checkouts(scene)
    return checks.at_least(
        "buyers_lose_to_each_other",
        len(lost) / len(asked) if asked else 0.0,
        bounds["at_least"],
        "transactions lost to another one per checkout",
        _worst(lost),
    )


def buyers_wait_for_locks(scene: Scene, bounds: Bounds) -> Check:
    """Show that taking stock waits for a lock that another buyer holds.

    Statements that take so much longer than the quickest of their kind from the same
    region to the same gateways: the distance is in both. One that nobody waited for to
    its end was cut short, and says nothing.
    """
    longer_ms = float(bounds["longer_than_ms"])
    taken = [
        span
        for span in scene.evidence.statements(control=False, between=scene.during)
        if str(span.attributes.get(names.DB_QUERY_SUMMARY, span.name))
        == bounds["statement"]
        and names.CANCELLED_BY not in span.attributes
    ]
    quickest: dict[tuple[str, str], float] = {}
    for span in taken:
        way = (span.region, checks.gateway_region(span))
        quickest[way] = min(span.duration_ms, quickest.get(way, math.inf))
    waited = [
        span
        for span in taken
        if span.duration_ms
        >= longer_ms + quickest[span.region, checks.gateway_region(span)]
    ]
    waited.sort(key=lambda span: -span.duration_ms)
    return checks.at_least(
        "buyers_wait_for_locks",
        len(waited),
        bounds["at_least"],
        f"times {bounds['statement']} took {longer_ms:g} ms more than it need",
        [span.trace_id for span in waited],
    )


def bookings_lose_to_each_other(scene: Scene, bounds: Bounds) -> Check:
    """Show that keys in sequence make bookings of different orders conflict.

    No two of them have a row in common but the one that both want to add next.
    """
    lost = _lost_bookings(scene, bounds)
    asked = _checkouts(scene)
    return checks.at_least(
        "bookings_lose_to_each_other",
        len(lost) / len(asked) if asked else 0.0,
        bounds["at_least"],
        f"bookings in {bounds['table']} lost to another one per checkout",
        _worst(lost),
    )


def bookings_do_not_lose(scene: Scene, bounds: Bounds) -> Check:
    """Hold that no booking is lost to another order's, while many book."""
    lost = _lost_bookings(scene, bounds)
    asked = _checkouts(scene)
    check = checks.at_most(
        "bookings_do_not_lose",
        len(lost) / len(asked) if asked else float("inf"),
        bounds["at_most"],
        f"bookings in {bounds['table']} lost to another one per checkout",
        _worst(lost),
    )
    booked = {span.trace_id for span in _bookings(scene, bounds)} & asked
    least = int(bounds["min_checkouts"])
    if len(booked) < least:
        return checks.unproven(check, f"only {len(booked)} checkouts booked anything")
    return check


def buyers_do_not_lose(scene: Scene, bounds: Bounds) -> Check:
    """Hold that hardly any transaction is lost, while many buy the same product."""
    lost = _lost(scene)
    asked = _checkouts(scene)
    check = checks.at_most(
        "buyers_do_not_lose",
        len(lost) / len(asked) if asked else float("inf"),
        bounds["at_most"],
        "transactions lost to another one per checkout",
        _worst(lost),
    )
    least = int(bounds["min_checkouts"])
    if len(asked) < least:
        return checks.unproven(check, f"only {len(asked)} checkouts were made")
    return check


def _lost(scene: Scene) -> list[Span]:
    asked = _checkouts(scene)
    return [
        span
        for span in scene.evidence.statements(between=scene.during)
        if span.trace_id in asked
        and str(span.attributes.get(names.DB_STATUS, "")) in LOST
    ]


def _bookings(scene: Scene, bounds: Bounds) -> list[Span]:
    return [
        span
        for span in scene.evidence.statements(control=False, between=scene.during)
        if bounds["table"]
        in str(span.attributes.get(names.DB_QUERY_SUMMARY, span.name)).split()
    ]


def _lost_bookings(scene: Scene, bounds: Bounds) -> list[Span]:
    asked = _checkouts(scene)
    return [
        span
        for span in _bookings(scene, bounds)
        if span.trace_id in asked
        and str(span.attributes.get(names.DB_STATUS, "")) in LOST | {TAKEN}
    ]


def _checkouts(scene: Scene) -> set[str]:
    window = scene.timeline.during
    found = scene.checkouts(window.since_s, window.until_s)
    return {one.trace_id for one in found if one.trace_id}


def _worst(lost: list[Span]) -> list[str]:
    counts = Counter(span.trace_id for span in lost)
    return [trace for trace, _ in counts.most_common()]
