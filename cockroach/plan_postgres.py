"""Reads PostgreSQL's plans: EXPLAIN ([ANALYZE,] VERBOSE, FORMAT JSON).

On the embedded cluster another region's rows come by a Foreign Scan; the region is
what the partition's name ends in. PostgreSQL tells nothing of the plan over there, so
a remote statement counts as a full scan only when it asks for the whole partition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cockroach.plan_tree import FULL_SCAN_ROWS, Plan, PlanError, PlanNode, distinct
from cockroach.redaction import without_values
from cockroach.topology import PRIMARY, REGIONS

_REGION_END = re.compile(rf"_({'|'.join(REGIONS)})$")
_JOINED = re.compile(r"\(?\b\w+\.(\w+)")
_CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "Sort Key",
    "Group Key",
    "Remote SQL",
)
# The schema of the foreign tables by which other regions write GLOBAL tables.
_GLOBAL_WRITES = "globw"
_WHERE = re.compile(r"\bWHERE\b(.*?)(?:\bORDER BY\b|\bFOR UPDATE\b|$)", re.DOTALL)
_ONLY_REGION = re.compile(r"\(\(crdb_region = '[^']*'\)\)|\bAND\b|\s")
# Of a scan that was not run, only the cost tells how long it is: with PostgreSQL's
# default costs a page of rows and the rows in it make about 0.02 a row.
_COST_A_ROW = 0.02


def parse(document: Any, *, gateway_region: str) -> Plan:
    """Read one plan; local steps are in the gateway's region.

    Raises PlanError on anything that is no plan in PostgreSQL's JSON.
    """
    try:
        if isinstance(document, str | bytes):
            document = json.loads(document)
        whole = document[0] if isinstance(document, list) else document
        return _plan(whole, gateway_region)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise PlanError(f"no plan of PostgreSQL: {type(error).__name__}") from None


def _plan(whole: Mapping[str, Any], here: str) -> Plan:
    top = whole["Plan"]
    analyzed = "Actual Loops" in top
    steps = [(step, _node(step, depth, here)) for step, depth in _walk(top)]
    run = [(s, n) for s, n in steps if not analyzed or s.get("Actual Loops")]
    remote = [s for s, _ in run if _is_remote(s)]
    return Plan(
        engine="postgresql",
        analyzed=analyzed,
        nodes=tuple(node for _, node in steps),
        rows=_rows(top),
        estimated_rows=int(top["Plan Rows"]),
        regions=distinct(region for _, node in run for region in node.regions),
        full_scans=distinct(node.table for _, node in run if node.full_scan),
        remote_statements=sum(_loops(step) for step in remote),
        network_bytes=(
            sum((_rows(s) or 0) * int(s.get("Plan Width", 0)) for s in remote)
            if analyzed
            else None
        ),
        planning_ms=whole.get("Planning Time"),
        execution_ms=whole.get("Execution Time"),
    )


def _walk(top: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], int]]:
    # No recursion: a plan over many partitions can be deep.
    waiting = [(top, 0)]
    while waiting:
        step, depth = waiting.pop()
        yield step, depth
        waiting.extend((one, depth + 1) for one in reversed(step.get("Plans", ())))


def _node(step: Mapping[str, Any], depth: int, here: str) -> PlanNode:
    operation = str(step["Node Type"])
    changes = str(step.get("Operation", "Select"))
    if operation == "ModifyTable":
        operation = changes
    elif changes != "Select":
        operation = operation.replace("Scan", changes)
    tables, regions = _where(step, here)
    remote_sql = str(step.get("Remote SQL", ""))
    return PlanNode(
        depth=depth,
        operation=operation,
        table=", ".join(tables),
        index=str(step.get("Index Name", "")),
        regions=regions,
        rows=_rows(step),
        estimated_rows=int(step["Plan Rows"]),
        ms=(
            round(step["Actual Total Time"] * _loops(step), 3)
            if step.get("Actual Loops") and "Actual Total Time" in step
            else None
        ),
        full_scan=_is_full(step, remote_sql),
        details=tuple(_details(step)),
    )


def _where(
    step: Mapping[str, Any], here: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the tables of a step, and the regions they are in."""
    if "Relation Name" in step:
        found = [str(step["Relation Name"])]
    elif "Relations" in step:
        found = _JOINED.findall(str(step["Relations"]))
    else:
        return (), ()
    tables = distinct(_REGION_END.sub("", one) for one in found)
    if _is_remote(step):
        ends = (_REGION_END.search(one) for one in found)
        regions = distinct(end[1] for end in ends if end)
        if not regions and step.get("Schema") == _GLOBAL_WRITES:
            regions = (PRIMARY,)
        return tables, regions
    # The parent of partitions has no rows of its own: its partitions tell.
    return tables, () if step["Node Type"] == "ModifyTable" else (here,)


def _details(step: Mapping[str, Any]) -> Iterator[str]:
    for key in _CONDITIONS:
        value = step.get(key)
        if value is not None:
            text = ", ".join(value) if isinstance(value, list) else str(value)
            yield f"{key}: {without_values(text)}"


def _is_remote(step: Mapping[str, Any]) -> bool:
    return "Remote SQL" in step


def _is_full(step: Mapping[str, Any], remote_sql: str) -> bool:
    if remote_sql:
        if " JOIN " in remote_sql or " LIMIT " in remote_sql:
            return False
        where = _WHERE.search(remote_sql)
        if where is not None and _ONLY_REGION.sub("", where[1]):
            return False
        rows = _rows(step)
        return (int(step["Plan Rows"]) if rows is None else rows) >= FULL_SCAN_ROWS
    if step["Node Type"] != "Seq Scan":
        return False
    if "Actual Loops" in step:
        read = step["Actual Rows"] + step.get("Rows Removed by Filter", 0)
        return bool(read * _loops(step) >= FULL_SCAN_ROWS)
    cost = step["Total Cost"] - step.get("Startup Cost", 0.0)
    return bool(cost / _COST_A_ROW >= FULL_SCAN_ROWS)


def _loops(step: Mapping[str, Any]) -> int:
    return int(step.get("Actual Loops", 1))


def _rows(step: Mapping[str, Any]) -> int | None:
    """Count over all executions: PostgreSQL gives the mean of one."""
    if "Actual Rows" not in step:
        return None
    return round(float(step["Actual Rows"]) * _loops(step))
