"""Numbers of a run from its journeys: before, during, after; who was hit, who was not.

Pure over records. Ratios are shares of 1, latencies milliseconds from the intended
send time, failures included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chaos import journeys
from chaos.journeys import CHECKOUT, Journey
from chaos.timeline import Timeline, Window

Choice = Callable[[Iterable[Journey], Window], Iterable[Journey]]

BIN_S = 1.0
GOOD_BINS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One group of customers in one window."""

    journeys: int
    success_ratio: float | None
    degraded_ratio: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    offered_rps: float
    goodput_rps: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Give the nearest-rank percentile of sorted values; None of nothing."""
    if not values:
        return None
    return values[max(0, math.ceil(share * len(values)) - 1)]


def block(
    group: Iterable[Journey],
    window: Window,
    *,
    choose: Choice = journeys.ended,
    max_stale_ms: float = math.inf,
) -> Block:
    """Sum up the journeys of a window: those that ended in it, unless told otherwise.

    Whichever are chosen, `offered_rps` counts what was meant to start in the window
    and `goodput_rps` the successes that ended in it.
    """
    them = list(group)
    found = list(choose(them, window))
    latencies = sorted(one.latency_ms for one in found)
    good = sum(one.succeeded(max_stale_ms) for one in found)
    degraded = sum(one.degraded and one.succeeded(max_stale_ms) for one in found)
    seconds = window.seconds or math.inf
    offered = len(list(journeys.offered(them, window)))
    served = sum(one.succeeded(max_stale_ms) for one in journeys.ended(them, window))
    return Block(
        journeys=len(found),
        success_ratio=_ratio(good, len(found)),
        degraded_ratio=_ratio(degraded, len(found)),
        p50_ms=_rounded(percentile(latencies, 0.50)),
        p95_ms=_rounded(percentile(latencies, 0.95)),
        p99_ms=_rounded(percentile(latencies, 0.99)),
        offered_rps=round(offered / seconds, 2),
        goodput_rps=round(served / seconds, 2),
    )


def groups(
    all_journeys: Sequence[Journey],
    timeline: Timeline,
    *,
    affected: Callable[[Journey], bool],
    max_stale_ms: float,
) -> dict[str, dict[str, Block]]:
    """Sum up each group of customers before, during and after the fault.

    What lived through any of the fault belongs to it: a checkout of ten seconds that
    was under way when the fault came is none of the steady state, and one that the
    fault left hanging is none of the recovery.
    """
    members = {
        "all": all_journeys,
        # Customers whose home is in trouble, wherever they dial.
        "affected": [one for one in all_journeys if affected(one)],
        "others": [one for one in all_journeys if not affected(one)],
        "affected_checkouts": [
            one for one in all_journeys if affected(one) and one.journey == CHECKOUT
        ],
    }
    # Noticing nothing is judged on customers at home, one journey at a time.
    for name in sorted({one.journey for one in all_journeys}):
        members[f"others_at_home/{name}"] = [
            one
            for one in all_journeys
            if one.journey == name and not one.away and not affected(one)
        ]
    windows = {
        "before": (timeline.before, journeys.ended),
        "during": (timeline.during, journeys.under_way),
        "after": (timeline.after, journeys.offered),
    }
    return {
        group: {
            when: block(them, window, choose=choose, max_stale_ms=max_stale_ms)
            for when, (window, choose) in windows.items()
        }
        for group, them in members.items()
    }


def recovery_s(
    group: Iterable[Journey],
    *,
    gone_s: float,
    end_s: float,
    success_ratio: float,
    p95_ms: float,
    max_stale_ms: float,
) -> float | None:
    """Tell how long after the fault's end the group is back inside the SLO.

    In bins of 1 s: the first of three good ones in a row; None when there are no three
    within the window. A bin without customers proves nothing and is not good.
    """
    bins: list[list[Journey]] = [[] for _ in range(int((end_s - gone_s) / BIN_S))]
    for one in group:
        index = math.floor((one.intended_s - gone_s) / BIN_S)
        if 0 <= index < len(bins):
            bins[index].append(one)

    def good(them: list[Journey]) -> bool:
        if not them:
            return False
        share = sum(one.succeeded(max_stale_ms) for one in them) / len(them)
        tail = percentile(sorted(one.latency_ms for one in them), 0.95)
        return share >= success_ratio and tail is not None and tail <= p95_ms

    row = 0
    for index, them in enumerate(bins):
        row = row + 1 if good(them) else 0
        if row == GOOD_BINS:
            return (index + 1 - GOOD_BINS) * BIN_S
    return None


def per_second(
    group: Iterable[Journey], timeline: Timeline, *, max_stale_ms: float
) -> list[dict[str, Any]]:
    """Sum up every second of the run, for a plot."""
    them = list(group)
    seconds = math.ceil(timeline.end_s - timeline.start_s)
    rows = []
    for second in range(seconds):
        since = timeline.start_s + second
        window = Window(since_s=since, until_s=since + 1)
        found = block(them, window, max_stale_ms=max_stale_ms)
        rows.append({"at_s": second, **found.to_json()})
    return rows


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
