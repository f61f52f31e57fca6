"""When breakers opened and closed, process by process, from transitions on spans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from chaos import checks
from chaos.checks import Bounds, Check, Scene
from observability import names

CLOSED = "closed"
OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One transition of one process' breaker."""

    instance: str
    breaker: str
    old: str
    new: str
    reason: str
    time_ns: int
    trace_id: str


def changes(scene: Scene) -> list[Change]:
    """Give every transition of the run in order of time."""
    return [
        Change(
            instance=span.instance,
            breaker=str(event.attributes.get("name", "")),
            old=str(event.attributes.get("old", "")),
            new=str(event.attributes.get("new", "")),
            reason=str(event.attributes.get("reason", "")),
            time_ns=event.time_ns,
            trace_id=span.trace_id,
        )
        for span, event in scene.evidence.events(names.EVENT_BREAKER_CHANGED)
    ]


def open_intervals(scene: Scene, breaker: str) -> dict[str, list[tuple[int, int]]]:
    """Tell, by process, when a breaker was not closed; the run's end ends the last."""
    intervals: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    opened: dict[str, int] = {}
    for change in changes(scene):
        if change.breaker != breaker:
            continue
        if change.new == CLOSED:
            since = opened.pop(change.instance, None)
            if since is not None:
                intervals[change.instance].append((since, change.time_ns))
        else:
            opened.setdefault(change.instance, change.time_ns)
    for instance, since in opened.items():
        intervals[instance].append((since, scene.timeline.whole.until_ns))
    return dict(intervals)


def _seen(ends: Sequence[int], enough: int, watched_ns: int) -> int | None:
    """Tell when so many had ended within the time looked back; None for never."""
    for first, last in zip(ends, ends[enough - 1 :], strict=False):
        if last - first <= watched_ns:
            return last
    return None


def breakers_open_in_time(scene: Scene, bounds: Bounds) -> Check:
    """Every process that has seen enough opens its breaker once, soon, with a reason.

    Soon counts from the fault, or from the process' own fourth slow statement if that
    is later: who asks rarely cannot know earlier. With `watched_s`, the four must lie
    within so many seconds, since the breaker looks back no further; a process that
    never saw so many together may open whenever its mixed window tells it to.
    """
    within_ns = int(float(bounds["within_s"]) * 1e9)
    own_ns = int(float(bounds.get("after_enough_s", 1)) * 1e9)
    enough = int(bounds.get("min_calls", 4))
    watched_ns = int(float(bounds.get("watched_s", 3600)) * 1e9)
    in_force_ns = scene.timeline.during.since_ns
    opened: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes(scene):
        ours = change.breaker == f"database@{scene.region}"
        if ours and change.old == CLOSED and change.new == OPEN:
            opened[change.instance].append(change)
    slow = _slow_ends(scene, float(bounds.get("slow_ms", 300)))
    wrong: list[str] = []
    traces: list[str] = []
    for instance in sorted({*opened, *slow}):
        ends = slow.get(instance, [])
        latest = in_force_ns + within_ns
        seen_ns = _seen(ends, enough, watched_ns)
        if seen_ns is not None:
            latest = max(latest, seen_ns + own_ns)
        found = opened.get(instance, [])
        traces += [change.trace_id for change in found]
        if not found:
            if seen_ns is not None:
                wrong.append(f"{instance} never opened")
        elif len(found) > int(bounds.get("times", 1)):
            wrong.append(f"{instance} opened {len(found)} times")
        elif seen_ns is not None and found[0].time_ns > latest:
            late = (found[0].time_ns - in_force_ns) / 1e9
            wrong.append(f"{instance} opened after {late:.1f} s")
        elif not found[0].reason:
            wrong.append(f"{instance} names no reason")
    return Check(
        name="breakers_open_in_time",
        passed=len(opened) >= int(bounds["at_least"]) and not wrong,
        observed=len(opened),
        expected=(
            f"at least {bounds['at_least']} processes, each once, "
            f"within {bounds['within_s']:g} s of seeing it"
        ),
        trace_ids=checks.shown(traces),
        note="; ".join(wrong[:5]),
    )


def breakers_close_in_time(scene: Scene, bounds: Bounds) -> Check:
    """Every breaker that opened closes by itself soon after the fault."""
    gone_ns = int(scene.timeline.gone_s * 1e9)
    intervals = open_intervals(scene, f"database@{scene.region}")
    last = max((ends[-1][1] for ends in intervals.values()), default=0)
    took = max(0.0, (last - gone_ns) / 1e9)
    closed = [
        change
        for change in changes(scene)
        if change.breaker == f"database@{scene.region}" and change.new == CLOSED
    ]
    # One that is closed while the fault is on has not noticed it.
    early = [change for change in closed if change.time_ns < gone_ns - 500_000_000]
    return Check(
        name="breakers_close_in_time",
        passed=bool(intervals) and took <= float(bounds["within_s"]) and not early,
        observed=round(took, 3) if intervals else "no breaker was open",
        expected=f"all closed within {bounds['within_s']:g} s after the fault",
        trace_ids=checks.shown(change.trace_id for change in closed),
        note=f"{len(early)} closed during the fault" if early else "",
    )


def healthy_breakers_stay_closed(scene: Scene, bounds: Bounds) -> Check:
    """No breaker towards another region's target opens."""
    since = scene.timeline.before.since_ns
    opened = [
        change
        for change in changes(scene)
        if (change.old, change.new) == (CLOSED, OPEN)
        and change.time_ns >= since
        and "@" in change.breaker
        and _target_region(change.breaker) != scene.region
    ]
    return checks.at_most(
        "healthy_breakers_stay_closed",
        len(opened),
        bounds["at_most"],
        "openings of breakers towards other regions",
        [change.trace_id for change in opened],
    )


def _target_region(breaker: str) -> str:
    # "database@eu", "orders@eu", "orders@eu/shop.v1.Orders/PlaceOrder"
    return breaker.split("@", 1)[1].split("/", 1)[0].split(" ", 1)[0]


def _slow_ends(scene: Scene, slow_ms: float) -> dict[str, list[int]]:
    ends: defaultdict[str, list[int]] = defaultdict(list)
    for span in scene.evidence.statements(
        between=scene.during,
        where=lambda span: (
            checks.gateway_region(span) == scene.region and span.duration_ms >= slow_ms
        ),
    ):
        ends[span.instance].append(span.end_ns)
    return {instance: sorted(times) for instance, times in ends.items()}
