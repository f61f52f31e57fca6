"""The tables that an experiment ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab import profiles

COLOURED = {"pass": "[green]pass[/]", "fail": "[red]fail[/]"}
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


def settings(console: Console, now: Mapping[str, bool] | None = None) -> None:
    """Print what each cure moves, and from what to what; `now` says which are on."""
    columns = ["cure", "setting", "sick", "cured", "where sick comes from"]
    if now is not None:
        columns.insert(1, "now")
    table = Table(
        *columns, title="Sick and cured, value by value", title_justify="left"
    )
    for cure in profiles.CURES:
        for index, setting in enumerate(cure.settings):
            cells = [setting.name, str(setting.sick), str(setting.cured)]
            head = [cure.name] if now is None else [cure.name, _on(now[cure.name])]
            first = head if index == 0 else [""] * len(head)
            table.add_row(*first, *cells, setting.source)
    console.print(table)


def _on(switched: bool) -> str:  # noqa: FBT001 - private, one call
    return "on" if switched else "off"


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


def checks(
    console: Console,
    profile: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str = "what the traces say",
) -> None:
    """Print what was asked of the traces, and what they said."""
    table = Table(title=f"{profile}: {title}", title_justify="left")
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


def ranges(
    console: Console,
    profiles: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    runs: Mapping[str, int],
) -> None:
    """Print each figure's median and range over several runs of a profile."""
    table = Table(
        title="In the fault window: median (least to greatest)", title_justify="left"
    )
    table.add_column("")
    for profile in profiles:
        table.add_column(f"{profile}, {runs[profile]} runs", justify="right")
    grouped = [
        (f"{group}.{name}", f"{group}: {label}")
        for group in ("affected", "others")
        for name, label in ROWS
    ]
    for name, label in (*ROWS, *TOTALS, *grouped):
        found = [figures.get(name) for figures in profiles.values()]
        if any(found):
            table.add_row(label, *(_range(name, one) for one in found))
    console.print(table)


def _range(name: str, found: Mapping[str, float | None] | None) -> str:
    if found is None:
        return "-"
    name = name.rpartition(".")[2]
    middle, low, high = (number(name, found[one]) for one in ("median", "min", "max"))
    return middle if low == high else f"{middle} ({low} to {high})"


def pool(console: Console, group: str, found: Mapping[str, Any]) -> None:
    """Print one group's journeys of several runs, taken together."""
    console.print(
        f"  {group}: {found['failed']} of {found['journeys']} journeys failed, "
        f"p95 {number('p95_ms', found['p95_ms'])} ms"
    )


def outcome(console: Console, one: Mapping[str, Any]) -> None:
    """Print how one run ended, with the first reason or what failed in it."""
    wrong = [
        row["name"]
        for row in (*one.get("checks", ()), *one.get("invariants", ()))
        if not row["passed"] and row.get("counts", True)
    ]
    said = [*one["invalid_reasons"][:1]] or wrong
    more = f": {', '.join(said)}" if said else ""
    word = "[yellow]invalid[/]" if not one["valid"] else COLOURED[one["verdict"]]
    console.print(f"seed {one['seed']} {one['profile']}: {word}{escape(more)}")


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
