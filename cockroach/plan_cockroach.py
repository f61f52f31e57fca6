"""Reads CockroachDB's plans: the lines of EXPLAIN and of EXPLAIN ANALYZE.

There is no JSON of an analyzed plan, so the text is read: a head of `key: value`
lines, then a tree of steps that each begin with a bullet and have such lines below.
Keys differ between releases; those that are not known are passed by, and nothing but
what is known is taken over. Written from the documented form: no cluster was asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cockroach.plan_tree import FULL_SCAN_ROWS, Plan, PlanError, PlanNode, distinct
from cockroach.redaction import without_values
from cockroach.topology import REGIONS

_BULLET = "•"
_TREE = re.compile(r"^[\s│├└─]*")
_KEY = re.compile(r"^([A-Za-z][\w ()/-]*?):(?:\s+(.*))?$")
_NUMBER = re.compile(r"[\d,]+(?:\.\d+)?")
_CALLS = re.compile(r"([\d,]+) gRPC calls?")
_MESSAGES = re.compile(r"([\d,]+) messages?")
_SIZE = re.compile(r"([\d,.]+) ?(B|KiB|MiB|GiB|TiB)\b")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_TIME = re.compile(r"([\d,.]+)(ns|µs|μs|us|ms|s|m|h)")
_MS = {
    "ns": 1e-6,
    "µs": 1e-3,
    "μs": 1e-3,
    "us": 1e-3,
    "ms": 1.0,
    "s": 1e3,
    "m": 6e4,
    "h": 3.6e6,
}
_IN_SPAN = re.compile(rf"/'({'|'.join(REGIONS)})'")
_ROWS_READ = ("KV rows decoded", "KV rows read")
_CONDITIONS = ("equality", "filter", "pred", "lookup condition", "order", "group by")


@dataclass(slots=True)
class _Step:
    column: int
    title: str
    values: dict[str, str] = field(default_factory=dict)


def parse(lines: Iterable[str]) -> Plan:
    """Read the one text column of EXPLAIN or EXPLAIN ANALYZE.

    Raises PlanError when there is no step in it.
    """
    head, steps = _read(lines)
    if not steps:
        raise PlanError("no plan of CockroachDB: no line begins with a bullet")
    nodes = tuple(_nodes(steps))
    usage = head.get("network usage") or head.get("DistSQL network usage") or ""
    read = head.get("rows decoded from KV") or head.get("rows read from KV") or ""
    told = _list(head.get("regions", ""))
    return Plan(
        engine="cockroachdb",
        analyzed="execution time" in head,
        nodes=nodes,
        rows=nodes[0].rows,
        estimated_rows=nodes[0].estimated_rows,
        regions=told or distinct(region for node in nodes for region in node.regions),
        full_scans=distinct(node.table for node in nodes if node.full_scan),
        kv_calls=_count(_CALLS.search(read)),
        network_bytes=_bytes(usage),
        network_messages=_count(_MESSAGES.search(usage)),
        planning_ms=_ms(head.get("planning time", "")),
        execution_ms=_ms(head.get("execution time", "")),
    )


def _read(lines: Iterable[str]) -> tuple[dict[str, str], Sequence[_Step]]:
    head: dict[str, str] = {}
    steps: list[_Step] = []
    for line in "\n".join(lines).splitlines():
        prefix = _TREE.match(line)
        start = prefix.end() if prefix else 0
        rest = line[start:]
        if rest.startswith(_BULLET):
            steps.append(_Step(start, rest[1:].strip()))
            continue
        pair = _KEY.match(rest.rstrip())
        if pair is None:
            # A step's lines follow it at once. What comes after something else, such
            # as recommended indexes, is not taken for one of them.
            continue
        values = steps[-1].values if steps else head
        values.setdefault(pair[1], pair[2] or "")
    return head, steps


def _nodes(steps: Sequence[_Step]) -> Iterator[PlanNode]:
    columns: list[int] = []
    for step in steps:
        while columns and columns[-1] >= step.column:
            columns.pop()
        yield _node(step, len(columns))
        columns.append(step.column)


def _node(step: _Step, depth: int) -> PlanNode:
    values = step.values
    table, _, index = values.get("table", values.get("into", "")).partition("@")
    spans = values.get("spans", "")
    rows = _number(values.get("actual row count", ""))
    estimated = _number(values.get("estimated row count", ""))
    read = next((values[key] for key in _ROWS_READ if key in values), "")
    examined = _number(read)
    if examined is None:
        examined = estimated if rows is None else rows
    regions = _list(values.get("regions", "")) or distinct(
        found[1] for found in _IN_SPAN.finditer(spans)
    )
    # "insert fast path" and "lookup join (left outer)" are names; (count: 5) is none.
    operation = without_values(step.title)
    return PlanNode(
        depth=depth,
        operation=operation,
        table=_name(table),
        index=_name(index),
        regions=regions,
        rows=rows,
        estimated_rows=estimated,
        ms=_ms(values.get("KV time", "") or values.get("execution time", "")),
        # One whose length nobody knows counts: statistics are missing.
        full_scan=spans.startswith("FULL SCAN")
        and (examined is None or examined >= FULL_SCAN_ROWS),
        details=tuple(
            f"{key}: {without_values(values[key])}"
            for key in _CONDITIONS
            if key in values
        ),
    )


def _name(text: str) -> str:
    """Leave out what stands in brackets behind a name, such as columns."""
    return text.partition("(")[0].strip()


def _list(text: str) -> tuple[str, ...]:
    if "<hidden>" in text:
        return ()
    return distinct(one.strip() for one in text.split(","))


def _number(text: str) -> int | None:
    found = _NUMBER.match(text)
    return None if found is None else round(float(found[0].replace(",", "")))


def _count(found: re.Match[str] | None) -> int | None:
    return None if found is None else int(found[1].replace(",", ""))


def _bytes(text: str) -> int | None:
    found = _SIZE.search(text)
    if found is None:
        return None
    return round(float(found[1].replace(",", "")) * _BYTES[found[2]])


def _ms(text: str) -> float | None:
    parts = _TIME.findall(text)
    if not parts:
        return None
    total = sum(float(one.replace(",", "")) * _MS[unit] for one, unit in parts)
    return round(total, 6)
