"""Draws one trace as a tree with timings, for a terminal or plain text."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from observability import names
from observability.spans import Span

_BAR = 24
_SHOWN = (
    names.ATTEMPT_TARGET,
    names.PREVIOUS_ATTEMPTS,
    names.REFUSAL,
    names.FALLBACK,
    names.CACHE_SOURCE,
    names.DB_STATUS,
    names.CANCELLED_BY,
)


def render(spans: Sequence[Span]) -> Tree:
    """Return the tree of one trace; spans whose parent is missing stand at the top.

    Each line has the name, the service and its place, start and duration in
    milliseconds, a bar on the trace's own time line, status and what matters most;
    a statement also its gateway with the reason for it. Plans stand below slow ones.
    """
    known = {span.span_id for span in spans}
    below: defaultdict[str | None, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda each: each.start_ns):
        below[span.parent_id if span.parent_id in known else None].append(span)
    start = min((span.start_ns for span in spans), default=0)
    total = max((span.end_ns for span in spans), default=1) - start
    title = f"trace {spans[0].trace_id}" if spans else "no spans"
    tree = Tree(Text(f"{title}  {total / 1e6:.1f} ms  {len(spans)} spans", "bold"))
    # No recursion: a chain of retries can be deeper than Python likes.
    waiting = [(tree, span) for span in reversed(below[None])]
    plans: set[str] = set()
    while waiting:
        branch, span = waiting.pop()
        grown = branch.add(_line(span, start, total))
        _add_plans(grown, span, plans)
        waiting.extend((grown, child) for child in reversed(below[span.span_id]))
    return tree


def _add_plans(branch: Tree, span: Span, seen: set[str]) -> None:
    for event in span.events:
        plan = str(event.attributes.get(names.DB_PLAN, ""))
        if not plan:
            continue
        # A chatty request has the same plan fifty times.
        told = Text("plan as above" if plan in seen else plan, "dim")
        figures = plan_figures(event.attributes)
        branch.add(Text(f"{figures}\n", "cyan").append(told) if figures else told)
        seen.add(plan)


def plan_figures(attributes: Mapping[str, Any]) -> str:
    """Say in one line what a plan's event tells, nothing when it has no figures.

    Regions touched, rows with the planner's estimate, tables read as a whole, what
    went over the network, and the time it took when it was run to be measured.
    """
    if names.PLAN_ANALYZED not in attributes:
        return ""
    return "plan: " + "; ".join(_plan_figures(attributes))


def _plan_figures(attributes: Mapping[str, Any]) -> Iterator[str]:
    yield f"regions {_listed(attributes, names.PLAN_REGIONS) or 'unknown'}"
    rows = attributes.get(names.PLAN_ROWS)
    estimated = attributes.get(names.PLAN_ESTIMATED_ROWS)
    if rows is not None:
        guess = "" if estimated is None else f" (estimated {estimated})"
        yield f"rows {rows}{guess}"
    elif estimated is not None:
        yield f"estimated rows {estimated}"
    yield f"full scans {_listed(attributes, names.PLAN_FULL_SCANS) or 'none'}"
    remote = attributes.get(names.PLAN_REMOTE_STATEMENTS)
    if remote is not None:
        yield f"remote statements {remote}"
    size = attributes.get(names.PLAN_NETWORK_BYTES)
    if size is not None:
        messages = attributes.get(names.PLAN_NETWORK_MESSAGES)
        yield f"network {size} B" + ("" if messages is None else f" in {messages}")
    took = attributes.get(names.PLAN_EXECUTION_MS)
    if took is not None:
        yield f"ran {took:.1f} ms"
    if age := attributes.get(names.PLAN_AGE_MS):
        yield f"{age / 1e3:.0f} s old"


def _listed(attributes: Mapping[str, Any], key: str) -> str:
    value = attributes.get(key, ())
    # Some stores give a list back as text.
    return value.strip("[]") if isinstance(value, str) else ", ".join(value)


def _line(span: Span, start: int, total: int) -> Text:
    offset = span.start_ns - start
    length = span.end_ns - span.start_ns
    line = Text()
    line.append(_bar(offset, length, max(total, 1)), "cyan")
    line.append(f" {offset / 1e6:8.1f} +{length / 1e6:8.1f} ms  ", "dim")
    line.append(span.name, "bold red" if span.status == "ERROR" else "bold")
    if span.is_attempt:
        line.append(f" {span.rpc_method}")
    place = span.region + (f"-{span.zone}" if span.zone else "")
    line.append(f"  {span.service}" + (f" {place}" if place else ""), "green")
    status = span.rpc_status
    if status and status != "OK":
        line.append(f"  {status}", "red")
    elif span.status == "ERROR":
        line.append("  ERROR", "red")
    gateway = span.attributes.get(names.GATEWAY_NAME)
    if gateway is not None:
        reason = span.attributes.get(names.BALANCER_REASON, "")
        home = span.attributes.get(names.HOME_REGION, "")
        line.append(f"  via {gateway} ({reason}) for rows of {home}", "yellow")
    for key in _SHOWN:
        value = span.attributes.get(key)
        if value is not None and value != 0:
            line.append(f"  {key.rpartition('.')[2]}={value}", "yellow")
    for event in span.events:
        at = (event.time_ns - start) / 1e6
        line.append(f"  !{event.name.removeprefix('seawall.')}@{at:.1f}", "magenta")
    return line


def _bar(offset: int, length: int, total: int) -> str:
    first = min(_BAR - 1, offset * _BAR // total)
    width = max(1, min(_BAR - first, round(length * _BAR / total)))
    return " " * first + "━" * width + " " * (_BAR - first - width)
