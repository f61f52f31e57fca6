"""How long callers wait for a connection, and what becomes of those who get none."""

from __future__ import annotations

from chaos import checks
from chaos.checks import Bounds, Check, Scene
from observability import names
from observability.spans import Span


def pool_waits_are_bounded(scene: Scene, bounds: Bounds) -> Check:
    """Hold that nobody waits long for a connection, where callers had to wait at all.

    Without waits of `waited_ms` or more the pools never ran dry, and a bound that was
    not reached has not been seen.
    """
    waited_ms = float(bounds["waited_ms"])
    waits = scene.evidence.select(name=names.SPAN_POOL_ACQUIRE, between=scene.during)
    waits.sort(key=lambda span: -span.duration_ms)
    check = checks.at_most(
        "pool_waits_are_bounded",
        waits[0].duration_ms if waits else 0.0,
        bounds["at_most_ms"],
        "ms that anybody waited for a connection",
        [span.trace_id for span in waits],
    )
    dry = sum(span.duration_ms >= waited_ms for span in waits)
    if dry < int(bounds["min_waits"]):
        return checks.unproven(check, f"only {dry} waited {waited_ms:g} ms or more")
    return check


def waiting_for_nothing_is_told(scene: Scene, bounds: Bounds) -> Check:
    """Hold that whoever waited in vain had an answer soon after it.

    A wait is in vain when no statement follows in its trace. The journey has to end
    within `within_ms` of the wait's end; where it ends because a call was refused for
    want of a connection, the refusal has to say when to come again.
    """
    within_ms = float(bounds["within_ms"])
    waits = scene.evidence.select(name=names.SPAN_POOL_ACQUIRE, between=scene.during)
    untold, vain = [], 0
    for wait in waits:
        journey = scene.by_trace.get(wait.trace_id)
        spans = scene.evidence.trace(wait.trace_id)
        if journey is None or any(
            span.is_sql and span.start_ns >= wait.end_ns for span in spans
        ):
            continue
        vain += 1
        took_ms = journey.done_s * 1000 - wait.end_ns / 1e6
        if took_ms > within_ms or any(_sent_away(span, wait) for span in spans):
            untold.append(wait.trace_id)
    check = checks.at_most(
        "waiting_for_nothing_is_told",
        len(untold),
        bounds["at_most"],
        f"customers heard it over {within_ms:g} ms after the wait for a connection, "
        "or were refused and not told when to come again",
        untold,
    )
    if vain < int(bounds.get("min_waits", 1)):
        return checks.unproven(check, f"only {vain} waited in vain")
    return check


def _sent_away(span: Span, wait: Span) -> bool:
    """Tell whether a call that waited was refused without a time to come again."""
    return (
        span.kind == "SERVER"
        and span.start_ns <= wait.start_ns
        and span.end_ns >= wait.end_ns
        and span.rpc_status == "RESOURCE_EXHAUSTED"
        and names.RETRY_AFTER_MS not in span.attributes
    )
