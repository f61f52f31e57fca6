"""The few traces that a report carries with it, bounded in size.

One customer's journey in each run, the same arrival in both where there are two, and
the first traces that each check points at.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from chaos.journeys import CHECKOUT, Journey
from lab.report.stored import Run
from observability import names
from observability.spans import Span
from observability.store import TraceStore

# Two arrivals drawn from one seed differ by the rounding of the clock alone.
SAME_MS = 2.0
LOOKED_AT = 12
MAX_SPANS = 200
MAX_TEXT = 6000
JOURNEY_BYTES = 700_000
EVIDENCE_BYTES = 1_200_000
# How many traces of a check are carried: more of one that failed.
PASSED_TRACES, FAILED_TRACES = 1, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One customer's journey in one run, with its trace."""

    label: str
    journey: Journey
    offset_s: float
    trace: Mapping[str, Any] | None


class Library:
    """Reads traces out of the runs' stores, and keeps count of what it gave."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._stores = {
            run.label: TraceStore(run.traces) for run in runs if run.traces is not None
        }
        self.left_out: list[str] = []

    def spans(self, run: Run, trace_id: str) -> list[Span]:
        """Return one trace; nothing when the run's spans are not there."""
        store = self._stores.get(run.label)
        if store is None or not trace_id:
            return []
        try:
            return store.trace(trace_id)
        except (sqlite3.Error, DecodeError) as error:
            self.left_out.append(f"{run.label}: {run.traces} cannot be read: {error}")
            del self._stores[run.label]
            return []

    def evidence(self, runs: Iterable[Run]) -> dict[str, Mapping[str, Any]]:
        """Take the first traces of every check, failed ones first, while they fit."""
        wanted = [
            (run, str(trace))
            for run in runs
            for check in sorted(run.told.get("checks", ()), key=lambda c: c["passed"])
            for trace in check["trace_ids"][
                : PASSED_TRACES if check["passed"] else FAILED_TRACES
            ]
        ]
        found: dict[str, Mapping[str, Any]] = {}
        left, refused = EVIDENCE_BYTES, 0
        for run, trace_id in wanted:
            if trace_id in found:
                continue
            spans = self.spans(run, trace_id)
            if not spans:
                continue
            trace = carried(spans, max_bytes=left)
            if trace["left_out"] and left < JOURNEY_BYTES:
                refused += 1
                continue
            found[trace_id] = trace
            left -= len(json.dumps(trace))
        if refused:
            self.left_out.append(
                f"{refused} traces of checks, to keep the page small; "
                "their ids are there"
            )
        return found


def carried(spans: Sequence[Span], *, max_bytes: int) -> dict[str, Any]:
    """Give a trace as plain values, as a tree in order, as much as fits."""
    start = min(span.start_ns for span in spans)
    kept: list[dict[str, Any]] = []
    size = 0
    for depth, span in _in_order(spans):
        one = _plain(span, depth, start)
        size += len(json.dumps(one))
        if len(kept) == MAX_SPANS or size > max_bytes:
            break
        kept.append(one)
    return {
        "trace_id": spans[0].trace_id,
        "ms": round((max(span.end_ns for span in spans) - start) / 1e6, 3),
        "spans": kept,
        "left_out": len(spans) - len(kept),
    }


def same_arrivals(
    first: Run, second: Run, mine: Sequence[Journey], theirs: Sequence[Journey]
) -> list[tuple[Journey, Journey]]:
    """Match journeys that are one arrival in two runs of one seed."""
    known: defaultdict[tuple[str, str, str], list[Journey]] = defaultdict(list)
    for one in theirs:
        known[one.journey, one.home, one.dialled].append(one)
    found = []
    for one in mine:
        at = one.intended_s - first.start_s
        near = min(
            known[one.journey, one.home, one.dialled],
            key=lambda other: abs(other.intended_s - second.start_s - at),
            default=None,
        )
        if (
            near is not None
            and abs(near.intended_s - second.start_s - at) * 1000 <= SAME_MS
        ):
            found.append((one, near))
    return found


def journey(runs: Sequence[Run], library: Library) -> list[Told]:
    """Choose one journey of an affected customer in the fault, and tell it by run.

    With two runs: a checkout that failed or was slow in the first and succeeded in
    the second. Empty when there is none to tell.
    """
    first = runs[0]
    if not all(run.complete for run in runs):
        return []
    mine = _affected(first)
    if len(runs) == 1:
        rows = [(one,) for one in _ranked_alone(mine, first)]
    else:
        second = runs[1]
        if first.seed != second.seed:
            return []
        pairs = same_arrivals(first, second, mine, second.journeys())
        rows = [tuple(pair) for pair in _ranked_pairs(pairs, first)]  # type: ignore[misc]
    chosen = _with_plan(rows[:LOOKED_AT], first, library)
    if chosen is None:
        return []
    told = []
    for run, one in zip(runs, chosen, strict=True):
        spans = library.spans(run, one.trace_id)
        told.append(
            Told(
                label=run.label,
                journey=one,
                offset_s=round(one.intended_s - run.start_s, 3),
                trace=carried(spans, max_bytes=JOURNEY_BYTES) if spans else None,
            )
        )
    return told


def _affected(run: Run) -> list[Journey]:
    since, until = run.moment("in_force_s"), run.moment("removing_s")
    kinds = tuple(run.settings.get("affected_journeys") or ())
    them = [
        one
        for one in run.journeys()
        if one.is_of(run.region, kinds)
        and since <= one.intended_s - run.start_s < until
    ]
    return [one for one in them if one.journey == CHECKOUT] or them


def _ranked_pairs(
    pairs: Iterable[tuple[Journey, Journey]], run: Run
) -> list[tuple[Journey, Journey]]:
    middle = (run.moment("in_force_s") + run.moment("removing_s")) / 2
    stale = _max_stale_ms(run)

    def rank(pair: tuple[Journey, Journey]) -> tuple[Any, ...]:
        bad, good = pair
        shows = not bad.succeeded(stale) and good.succeeded(stale)
        # Of equals the one whose time in the fault is nearest to its middle.
        away_from_middle = abs(bad.intended_s - run.start_s - middle)
        slower = bad.latency_ms / max(good.latency_ms, 1.0)
        return (not shows, 0 if shows else -slower, bad.away, away_from_middle)

    return sorted(pairs, key=rank)


def _ranked_alone(them: Iterable[Journey], run: Run) -> list[Journey]:
    middle = (run.moment("in_force_s") + run.moment("removing_s")) / 2
    stale = _max_stale_ms(run)
    sick = run.profile == "sick"
    return sorted(
        them,
        key=lambda one: (
            one.succeeded(stale) is sick,
            one.away,
            abs(one.intended_s - run.start_s - middle),
        ),
    )


def _max_stale_ms(run: Run) -> float:
    return float((run.settings.get("slo") or {}).get("max_stale_ms", 30_000))


def _with_plan(
    rows: Sequence[tuple[Journey, ...]], run: Run, library: Library
) -> tuple[Journey, ...] | None:
    """Prefer, among the best, one whose trace shows a statement's plan."""
    for row in rows:
        spans = library.spans(run, row[0].trace_id)
        if len(spans) <= MAX_SPANS and any(
            event.name == names.EVENT_SLOW_PLAN
            for span in spans
            for event in span.events
        ):
            return row
    return rows[0] if rows else None


def _in_order(spans: Sequence[Span]) -> list[tuple[int, Span]]:
    known = {span.span_id for span in spans}
    below: defaultdict[str | None, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda each: each.start_ns):
        below[span.parent_id if span.parent_id in known else None].append(span)
    found = []
    # No recursion: a chain of retries can be deeper than Python likes.
    waiting = [(0, span) for span in reversed(below[None])]
    while waiting:
        depth, span = waiting.pop()
        found.append((depth, span))
        waiting.extend((depth + 1, child) for child in reversed(below[span.span_id]))
    return found


def _plain(span: Span, depth: int, start_ns: int) -> dict[str, Any]:
    return {
        "id": span.span_id,
        "parent": span.parent_id,
        "depth": depth,
        "name": span.name,
        "kind": span.kind,
        "service": span.service,
        "instance": span.instance,
        "place": span.region + (f"-{span.zone}" if span.zone else ""),
        "at_ms": round((span.start_ns - start_ns) / 1e6, 3),
        "ms": round(span.duration_ms, 3),
        "status": span.status,
        "attributes": _attributes(span.attributes),
        "events": [
            {
                "name": event.name,
                "at_ms": round((event.time_ns - start_ns) / 1e6, 3),
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
    }


def _attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _bounded(value) for key, value in given.items()}


def _bounded(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]} ... {len(text) - MAX_TEXT} characters left out"
