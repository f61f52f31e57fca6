"""Whether deadlines shrank from hop to hop, and what went on after its caller left."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from observability import names
from observability.spans import Span

_LEFT = frozenset({"DEADLINE_EXCEEDED", "CANCELLED"})


class Tree(Protocol):
    """What is asked of the spans: their order and who is below whom."""

    spans: list[Span]

    def trace(self, trace_id: str) -> list[Span]:
        """Return one trace's spans."""

    def ancestors(self, span: Span) -> list[Span]:
        """Return the spans above, the nearest first."""

    def descendants(self, span: Span) -> list[Span]:
        """Return everything below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineViolation:
    """A server span that was given more time than its caller had left.

    `excess_ms` is None when it was given no deadline at all.
    """

    span: Span
    caller: Span
    excess_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LateWork:
    """A span that ran on after its caller had given up."""

    span: Span
    caller: Span
    late_ms: float


def deadline_ns(span: Span) -> int | None:
    """Return the moment by which a server span had to answer, None without one."""
    remaining = span.attributes.get(names.DEADLINE_REMAINING_MS)
    return None if remaining is None else span.start_ns + int(float(remaining) * 1e6)


def shrinking(
    evidence: Tree, trace_id: str | None = None, *, tolerance_ms: float = 25.0
) -> list[DeadlineViolation]:
    """Return the hops of one trace, or of all, whose deadline did not shrink.

    Compared are the deadlines that the servers saw, as moments: a callee's may not
    lie after that of the server which called it. gRPC rounds a timeout of 1 to 10 s
    up to the next 10 ms, hence the tolerance.
    """
    found = []
    for span in _servers(evidence, trace_id):
        caller = next(
            (up for up in evidence.ancestors(span) if up.kind == "SERVER"), None
        )
        allowed = deadline_ns(caller) if caller else None
        if caller is None or allowed is None:
            continue
        given = deadline_ns(span)
        excess = None if given is None else (given - allowed) / 1e6
        if excess is None or excess > tolerance_ms:
            found.append(DeadlineViolation(span=span, caller=caller, excess_ms=excess))
    return found


def after(
    evidence: Tree, trace_id: str | None = None, *, tolerance_ms: float = 20.0
) -> list[LateWork]:
    """Return spans that ended after the caller above them had left, the latest first.

    A caller left when its client span ended with DEADLINE_EXCEEDED or CANCELLED.
    Work that only passes waiting time on is not told from work that burns: look at
    SQL spans for the latter.
    """
    found: dict[str, LateWork] = {}
    spans = evidence.trace(trace_id) if trace_id else evidence.spans
    for caller in spans:
        if caller.kind != "CLIENT" or caller.status != "ERROR":
            continue
        if not caller.rpc_method or caller.rpc_status not in _LEFT:
            continue
        for below in evidence.descendants(caller):
            late = (below.end_ns - caller.end_ns) / 1e6
            known = found.get(below.span_id)
            if late > tolerance_ms and (known is None or late > known.late_ms):
                found[below.span_id] = LateWork(span=below, caller=caller, late_ms=late)
    return sorted(found.values(), key=lambda work: work.late_ms, reverse=True)


def _servers(evidence: Tree, trace_id: str | None) -> Iterator[Span]:
    spans = evidence.trace(trace_id) if trace_id else evidence.spans
    return (span for span in spans if span.kind == "SERVER")
