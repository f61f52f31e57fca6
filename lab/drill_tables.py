"""The tables of `seawall drill`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cockroach.drills.history import Due
from lab import tables

_DAY_S = 86400
_HOUR_S = 3600
_MINUTE_S = 60


def span(seconds: float | None) -> str:
    """Write a time as people do: 24 h, 5 min, 0.58 s."""
    if seconds is None:
        return "never"
    for unit, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        # A day is told in hours, as backup plans have it.
        if seconds >= 2 * unit and unit != _DAY_S:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def listed(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print every drill with its promise, and why one does not run here."""
    table = Table(title="Drills", title_justify="left")
    columns = ("drill", "solution", "RPO", "RTO", "owner", "cost", "here")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            row["name"],
            escape(row["solution"]),
            span(row["target_rpo_s"]),
            span(row["target_rto_s"]),
            escape(row["owner"]),
            escape(row["cost"]),
            "yes" if row["reason"] is None else escape(row["reason"]),
        )
    console.print(table)


def ran(console: Console, found: Mapping[str, Any]) -> None:
    """Print a drill's rounds, what it means at ten gigabytes, and its scale."""
    table = Table(
        title=f"{found['name']}, fault: {found['fault']}", title_justify="left"
    )
    columns = ("rows", "MB", "acknowledged", "lost rows", "RPO", "RTO", "of it")
    for column in columns:
        table.add_column(column, justify="left" if column == "of it" else "right")
    for one in found["rounds"]:
        phases = ", ".join(f"{p['name']} {span(p['seconds'])}" for p in one["phases"])
        table.add_row(
            str(one["rows"]),
            f"{one['size_bytes'] / 1e6:.0f}",
            str(one["acknowledged"]),
            str(one["lost_rows"]),
            span(one["rpo_s"]),
            span(one["rto_s"]),
            phases,
        )
    console.print(table)
    scale = found["scale"]
    console.print(
        f"target RPO {span(found['target_rpo_s'])} "
        f"({span(scale['promised_rpo_s'])} scaled 1:{scale['time_scale']:g}), "
        f"target RTO {span(found['target_rto_s'])} (not scaled)"
    )
    _far(console, found["far"])
    for reason in found["reasons"]:
        console.print(f"  [red]no[/] {escape(reason)}")


def _far(console: Console, far: Mapping[str, Any] | None) -> None:
    if far is None:
        return
    how = (
        f"{far['seconds_per_gb']:g} s a gigabyte, a line through two small sizes"
        if far["grows"]
        else "the larger size took no longer"
    )
    fits = "inside" if far["within_target"] else "[red]beyond[/]"
    console.print(
        f"at {far['gigabytes']:g} GB the RTO would be {span(far['rto_s'])} "
        f"({how}); {fits} the target; decides nothing"
    )


def verdict(console: Console, found: Mapping[str, Any]) -> None:
    """Print the last line."""
    tables.verdict(console, found)


def history(console: Console, due: Sequence[Due]) -> None:
    """Print how each solution stands."""
    table = Table(title="Rehearsals", title_justify="left")
    for column in ("drill", "standing", "due in days", "last RPO", "last RTO"):
        table.add_column(column)
    for one in due:
        word = f"[red]{one.standing}[/]" if one.overdue else one.standing
        days = "-" if one.due_in_days is None else f"{one.due_in_days:.1f}"
        last = one.last
        rpo = "-" if last is None or last.rpo_s is None else span(last.rpo_s)
        rto = "-" if last is None else span(last.rto_s)
        table.add_row(one.name, word, days, rpo, rto)
    console.print(table)
