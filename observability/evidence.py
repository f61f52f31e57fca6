"""Questions a verdict asks of spans: parents, counts per root, overlaps, deadlines.

Answers count spans and compare times; none rests on what a policy says of itself.
Everything is indexed once, so that 150,000 spans are asked in milliseconds.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from observability import deadlines, names
from observability.deadlines import DeadlineViolation, LateWork
from observability.overlap import Peak, burst, peak_overlap
from observability.spans import Span, SpanEvent

Where = Callable[[Span], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdenticalLoads:
    """The most loads of one statement and key that ran at the same time."""

    summary: str
    key: str
    peak: int
    loads: int
    trace_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFigures:
    """Calls that reached a server, and how often each did.

    `sent` counts attempt spans of the caller, `served` server spans at the callee.
    """

    calls: int
    sent: int
    served: int
    worst: int
    trace_ids: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Attempts served per call; 0 when there was no call."""
        return self.served / self.calls if self.calls else 0.0


class Evidence:
    """The spans of one window, indexed by trace, parent, service and name."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans: list[Span] = sorted(spans, key=lambda span: span.start_ns)
        self._by_id: dict[str, Span] = {}
        self._by_trace: defaultdict[str, list[Span]] = defaultdict(list)
        self._children: defaultdict[str, list[Span]] = defaultdict(list)
        self._by_name: defaultdict[str, list[Span]] = defaultdict(list)
        self._by_service: defaultdict[str, list[Span]] = defaultdict(list)
        for span in self.spans:
            self._by_id[span.span_id] = span
            self._by_trace[span.trace_id].append(span)
            self._by_name[span.name].append(span)
            self._by_service[span.service].append(span)
            if span.parent_id is not None:
                self._children[span.parent_id].append(span)

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def trace_ids(self) -> list[str]:
        """Return every trace, in order of its first span."""
        return list(self._by_trace)

    def trace(self, trace_id: str) -> list[Span]:
        """Return one trace's spans in order of start."""
        return list(self._by_trace.get(trace_id, ()))

    def roots(self) -> list[Span]:
        """Return spans that have no parent at all."""
        return [span for span in self.spans if span.parent_id is None]

    def orphans(self) -> list[Span]:
        """Return spans whose parent is not here: lost, not ended, or out of window."""
        return [
            span
            for span in self.spans
            if span.parent_id is not None and span.parent_id not in self._by_id
        ]

    def root(self, span: Span) -> Span:
        """Return the topmost span that is known above `span`, maybe itself."""
        while (above := self.parent(span)) is not None:
            span = above
        return span

    def parent(self, span: Span) -> Span | None:
        """Return the parent, None for roots and orphans."""
        return self._by_id.get(span.parent_id) if span.parent_id else None

    def ancestors(self, span: Span) -> list[Span]:
        """Return the spans above, the nearest first."""
        found = []
        above = self.parent(span)
        while above is not None:
            found.append(above)
            above = self.parent(above)
        return found

    def children(self, span: Span) -> list[Span]:
        """Return the direct children in order of start."""
        return list(self._children.get(span.span_id, ()))

    def descendants(self, span: Span) -> list[Span]:
        """Return everything below, nearer generations first."""
        found = self.children(span)
        for below in found:
            found.extend(self._children.get(below.span_id, ()))
        return found

    def select(
        self,
        *,
        service: str | None = None,
        name: str | Collection[str] | None = None,
        kind: str | None = None,
        region: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        between: tuple[int, int] | None = None,
        where: Where | None = None,
    ) -> list[Span]:
        """Return the spans that fit every condition, in order of start.

        `between` takes spans that started in [since, until), in nanoseconds.
        """
        fits = [
            span
            for span in self._candidates(service, name)
            if (between is None or between[0] <= span.start_ns < between[1])
            and (service is None or span.service == service)
            and (kind is None or span.kind == kind)
            and (region is None or span.region == region)
        ]
        if attributes:
            for key, value in attributes.items():
                fits = [span for span in fits if span.attributes.get(key) == value]
        return fits if where is None else [span for span in fits if where(span)]

    def statements(
        self,
        *,
        control: bool = True,
        probes: bool = False,
        between: tuple[int, int] | None = None,
        where: Where | None = None,
    ) -> list[Span]:
        """Return SQL statements; BEGIN, COMMIT and ROLLBACK only with `control`."""
        return self.select(
            kind="CLIENT",
            between=between,
            where=lambda span: (
                span.is_sql
                and (control or span.name not in names.TRANSACTION_CONTROL)
                and (probes or not span.attributes.get(names.DB_PROBE))
                and (where is None or where(span))
            ),
        )

    def per_root_count(
        self, counted: Iterable[Span], roots: Iterable[Span] | None = None
    ) -> dict[str, int]:
        """Return, by trace id, how many of `counted` each root's trace has.

        Roots without any count as 0; by default all roots are asked about.
        """
        asked = self.roots() if roots is None else roots
        counts = {span.trace_id: 0 for span in asked}
        for span in counted:
            if span.trace_id in counts:
                counts[span.trace_id] += 1
        return counts

    def peak_overlap(self, spans: Iterable[Span] | None = None) -> Peak:
        """Return how many spans ran at once at most, and the traces they belong to."""
        return peak_overlap(self.spans if spans is None else spans)

    def burst(self, spans: Iterable[Span], window_ms: float) -> Peak:
        """Return the most starts within any window of that length."""
        return burst(spans, window_ms)

    def identical_loads(
        self, spans: Iterable[Span] | None = None
    ) -> list[IdenticalLoads]:
        """Return statements that were asked again while running, the worst first.

        Loads are identical when statement and key are; those without a key are left
        out, as are BEGIN and COMMIT.
        """
        loads = self.statements(control=False) if spans is None else spans
        groups: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
        for span in loads:
            key = span.attributes.get(names.DB_KEY)
            if key is not None:
                summary = span.attributes.get(names.DB_QUERY_SUMMARY, span.name)
                groups[str(summary), str(key)].append(span)
        found = []
        for (summary, key), group in groups.items():
            peak = peak_overlap(group)
            found.append(
                IdenticalLoads(
                    summary=summary,
                    key=key,
                    peak=peak.peak,
                    loads=len(group),
                    trace_ids=peak.trace_ids,
                )
            )
        return sorted(found, key=lambda loads: loads.peak, reverse=True)

    def attempts_per_call(
        self, where: Where | None = None, *, between: tuple[int, int] | None = None
    ) -> AttemptFigures:
        """Count how often logical calls reached their server.

        A call is a client span with a method that is no attempt; what its server
        saw hangs below it or below its attempts. Calls that never arrived, such as
        refused ones, are no calls here.
        """
        calls = sent = served = worst = 0
        worst_traces: list[str] = []
        for span in self.select(kind="CLIENT", between=between, where=where):
            if not span.rpc_method or span.is_attempt:
                continue
            below = self._children.get(span.span_id, ())
            attempts = [child for child in below if child.is_attempt]
            arrived = sum(child.kind == "SERVER" for child in below) + sum(
                grand.kind == "SERVER"
                for child in attempts
                for grand in self._children.get(child.span_id, ())
            )
            if not arrived:
                continue
            calls += 1
            sent += len(attempts) or 1
            served += arrived
            if arrived > worst:
                worst, worst_traces = arrived, []
            if arrived == worst and len(worst_traces) < 5:
                worst_traces.append(span.trace_id)
        return AttemptFigures(
            calls=calls,
            sent=sent,
            served=served,
            worst=worst,
            trace_ids=tuple(dict.fromkeys(worst_traces)),
        )

    def events(
        self,
        name: str,
        *,
        between: tuple[int, int] | None = None,
        where: Callable[[Span, SpanEvent], bool] | None = None,
    ) -> list[tuple[Span, SpanEvent]]:
        """Return events of that name with their spans, in order of time."""
        found = [
            (span, event)
            for span in self.spans
            for event in span.events
            if event.name == name
            and (between is None or between[0] <= event.time_ns < between[1])
            and (where is None or where(span, event))
        ]
        return sorted(found, key=lambda pair: pair[1].time_ns)

    def shrinking_deadlines(
        self, trace_id: str | None = None, *, tolerance_ms: float = 25.0
    ) -> list[DeadlineViolation]:
        """Return hops given more time than their caller had left."""
        return deadlines.shrinking(self, trace_id, tolerance_ms=tolerance_ms)

    def after_deadline(
        self, trace_id: str | None = None, *, tolerance_ms: float = 20.0
    ) -> list[LateWork]:
        """Return spans that ran on after their caller had left, the latest first."""
        return deadlines.after(self, trace_id, tolerance_ms=tolerance_ms)

    def _candidates(
        self, service: str | None, name: str | Collection[str] | None
    ) -> Sequence[Span]:
        if isinstance(name, str):
            return self._by_name.get(name, ())
        if name is not None:
            found = [span for each in set(name) for span in self._by_name.get(each, ())]
            return sorted(found, key=lambda span: span.start_ns)
        if service is not None:
            return self._by_service.get(service, ())
        return self.spans
