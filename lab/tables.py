"""The tables that an experiment ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

PHASES = ("before", "during", "after")
_PERCENT = ("success_ratio", "degraded_ratio")
ROWS = (
    ("success_ratio", "success"),
    ("degraded_ratio", "of it degraded"),
    ("p50_ms", "p50, ms"),
    ("p95_ms", "p95, ms"),
    ("p99_ms", "p99, ms"),
    ("goodput_rps", "goodput, /s"),
)
# Counted over the whole fault window.
TOTALS = (
    ("sql_per_checkout", "SQL statements per checkout"),
    ("cross_region_sql_per_checkout", "cross-region SQL trips per checkout"),
    ("attempts_per_call", "attempts per call"),
    ("peak_identical_loads", "peak identical loads"),
    ("recovery_s", "recovery, s"),
)


def number(name: str, value: float | None) -> str:
    """Write a figure as people read it; its name decides the unit."""
    if value is None:
        return "never" if name == "recovery_s" else "-"
    if name in _PERCENT:
        return f"{100 * value:.1f} %"
    return (
        f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")
    )


def figures(console: Console, profiles: Mapping[str, Mapping[str, Any]]) -> None:
    """Before, during and after the fault, one block of columns a profile."""
    table = Table(title="Before, during and after the fault", title_justify="left")
    table.add_column("")
    for profile in profiles:
        for phase in PHASES:
            table.add_column(f"{profile}\n{phase}", justify="right")
    for name, label in ROWS:
        cells = [
            number(name, document[phase].get(name))
            for document in profiles.values()
            for phase in PHASES
        ]
        table.add_row(label, *cells)
    console.print(table)
    table = Table(title="In the fault window", title_justify="left")
    table.add_column("")
    for profile in profiles:
        table.add_column(profile, justify="right")
    for name, label in TOTALS:
        table.add_row(
            label, *(number(name, one.get(name)) for one in profiles.values())
        )
    console.print(table)


def checks(console: Console, profile: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what was asked of the traces, and what they said."""
    table = Table(title=f"{profile}: what the traces say", title_justify="left")
    for column in ("", "check", "observed", "expected", "a trace"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            "[green]ok[/]" if row["passed"] else "[red]no[/]",
            row["name"],
            f"{row['observed']} ({row['note']})"
            if row.get("note")
            else str(row["observed"]),
            str(row["expected"]),
            str(row["trace_ids"][0])[:12] if row["trace_ids"] else "-",
        )
    console.print(table)


def invariants(
    console: Console, profile: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Print what the data says after the run: one line, or what is wrong."""
    wrong = [row for row in rows if not row["passed"]]
    console.print(
        f"{profile}: {len(rows) - len(wrong)} of {len(rows)} data invariants hold"
    )
    for row in wrong:
        console.print(f"  [red]no[/] {row['name']}: {row['observed']}")


def verdict(console: Console, document: Mapping[str, Any]) -> None:
    """Print the last line: valid or not, passed or not."""
    if not document["valid"]:
        console.print("[yellow]INVALID[/]: this run proves nothing.")
        for reason in document["invalid_reasons"]:
            console.print(f"  - {reason}")
    elif document["verdict"] == "pass":
        console.print("[green]PASS[/]")
    else:
        console.print("[red]FAIL[/]")
