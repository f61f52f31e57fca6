"""A plan of a statement in one shape, whichever database made it.

It holds names, counts and times and no value of any row: the parsers take over only
what they know, and conditions go through `redaction`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from observability import names

Engine = Literal["postgresql", "cockroachdb"]

# A scan of fewer rows is what a planner prefers to an index, and no trouble.
FULL_SCAN_ROWS = 1000
_MOST_CHARACTERS = 2000


class PlanError(ValueError):
    """What a database answered to EXPLAIN is no plan that we can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNode:
    """One step of a plan; `depth` is 0 at the top, parents come before children.

    `table` without the region that a partition's name ends in, `regions` where the
    step reads or writes. `rows` over all its executions, `ms` the time in it and below,
    None both when it was not run. `details` are conditions without values.
    """

    depth: int
    operation: str
    table: str = ""
    index: str = ""
    regions: tuple[str, ...] = ()
    rows: int | None = None
    estimated_rows: int | None = None
    ms: float | None = None
    full_scan: bool = False
    details: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Say it in words, the details below."""
        words = [self.operation]
        if self.index:
            words.append(f"using {self.index}")
        if self.table:
            words.append(f"on {self.table}")
        if self.regions:
            words.append(f"in {', '.join(self.regions)}")
        if told := ", ".join(self._counts()):
            words.append(f"({told})")
        indent = "  " * self.depth
        yield indent + " ".join(words)
        for detail in self.details:
            yield f"{indent}    {detail}"

    def _counts(self) -> Iterator[str]:
        if self.rows is not None:
            yield f"rows {self.rows}"
        if self.estimated_rows is not None:
            yield f"estimated {self.estimated_rows}"
        if self.ms is not None:
            yield f"{self.ms:.1f} ms"
        if self.full_scan:
            yield "full scan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a database answers a statement; with `analyzed`, how it has answered it.

    `regions` are those whose rows were touched, `full_scans` the tables read from one
    end to the other with 1000 rows or more. `remote_statements` counts what
    PostgreSQL asked of other regions; None on CockroachDB, which counts requests to
    its own storage instead (`kv_calls`). `network_bytes` is measured by CockroachDB;
    of PostgreSQL it is rows from other regions times the planner's width of a row.
    `network_messages` only CockroachDB tells. Times in milliseconds.
    """

    engine: Engine
    analyzed: bool
    nodes: tuple[PlanNode, ...]
    rows: int | None = None
    estimated_rows: int | None = None
    regions: tuple[str, ...] = ()
    full_scans: tuple[str, ...] = ()
    remote_statements: int | None = None
    kv_calls: int | None = None
    network_bytes: int | None = None
    network_messages: int | None = None
    planning_ms: float | None = None
    execution_ms: float | None = None

    def __post_init__(self) -> None:
        if self.engine not in get_args(Engine):
            raise PlanError(f"unknown engine {self.engine!r}")
        if not self.nodes:
            raise PlanError("a plan has at least one step")

    def text(self) -> str:
        """Draw the steps, one a line; at most 2000 characters."""
        lines = (line for node in self.nodes for line in node.lines())
        return "\n".join(lines)[:_MOST_CHARACTERS]

    def attributes(self) -> dict[str, Any]:
        """Give what an event carries: the figures that are known, and the text."""
        figures: dict[str, Any] = {
            names.DB_SYSTEM: self.engine,
            names.PLAN_ANALYZED: self.analyzed,
            names.PLAN_REGIONS: self.regions,
            names.PLAN_FULL_SCANS: self.full_scans,
            names.PLAN_ROWS: self.rows,
            names.PLAN_ESTIMATED_ROWS: self.estimated_rows,
            names.PLAN_REMOTE_STATEMENTS: self.remote_statements,
            names.PLAN_KV_CALLS: self.kv_calls,
            names.PLAN_NETWORK_BYTES: self.network_bytes,
            names.PLAN_NETWORK_MESSAGES: self.network_messages,
            names.PLAN_PLANNING_MS: self.planning_ms,
            names.PLAN_EXECUTION_MS: self.execution_ms,
            names.DB_PLAN: self.text(),
        }
        return {key: value for key, value in figures.items() if value is not None}


def distinct(words: Iterator[str]) -> tuple[str, ...]:
    """Keep the first of each, in order, and no empty one."""
    return tuple(dict.fromkeys(word for word in words if word))
