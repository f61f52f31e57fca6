"""`seawall bench`: what a policy costs, measured against doing without."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lab.bench import judge, kit
from lab.bench.measure import Samples, Size, clients, refusals, servers
from lab.bench.variants import CLIENTS, FULL, KIT, SERVERS, THREE
from lab.console import console_for, json_option
from lab.results import Result, emit
from lab.state import default_folder

QUICK = ("bare", "no-op", FULL)


@click.group()
def bench() -> None:
    """Benchmarks."""


@bench.command()
@json_option
@click.option("--rounds", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--calls", type=click.IntRange(min=32), default=400, show_default=True)
@click.option("--quick", is_flag=True, help="Few variants, few rounds: a smoke test.")
@click.option("--kit-python", help="A Python 3.12 or newer for grpc-client-kit.")
def resilience(
    json_path: str | None,
    rounds: int,
    calls: int,
    quick: bool,  # noqa: FBT001 - a flag of the command line
    kit_python: str | None,
) -> int:
    """CPU and latency of the resilience package's policies beside their likes."""
    console = console_for(json_path)
    size = (
        Size(rounds=2, calls=64, streams=1)
        if quick
        else Size(rounds=rounds, calls=calls)
    )
    names = (
        [n for n in CLIENTS if n in QUICK]
        if quick
        else [n for n in CLIENTS if n != KIT]
    )
    server_names = list(SERVERS)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task(
            "measuring", total=(size.rounds + 1) * (len(names) + len(server_names))
        )

        def tick() -> None:
            progress.advance(task)

        client = asyncio.run(clients(names, size, tick))
        server = asyncio.run(servers(server_names, size, tick))
        refused = sorted(asyncio.run(refusals(200 if quick else 2000)))
        progress.update(task, description="measuring beside grpc-client-kit")
        beside, left_out = _beside_the_kit(size, kit_python, quick=quick)
    found = judge.rows(client, side="client") + judge.rows(server, side="server")
    against = judge.rows(beside, side="kit") if beside else []
    p99 = refused[int(len(refused) * 0.99)]
    budgets = judge.budgets(found, against, p99)
    reasons = (
        []
        if quick
        else [
            reason for samples in (client, server) if (reason := judge.noise(samples))
        ]
    )
    result = Result(
        command="bench resilience",
        valid=not reasons,
        invalid_reasons=reasons,
        verdict="pass" if all(budget["ok"] for budget in budgets) else "fail",
        results=found + against,
        extra={
            "budgets": budgets,
            "left_out": left_out,
            "refusal_us": {
                "p50": round(statistics.median(refused), 1),
                "p99": round(p99, 1),
            },
            "reference_us": judge.REFERENCE_US,
        },
    )
    _print(console, result)
    emit(result, json_path)
    return result.exit_code


def _beside_the_kit(
    size: Size, interpreter: str | None, *, quick: bool
) -> tuple[dict[str, Samples], dict[str, str]]:
    if quick:
        return {}, {KIT: "left out of a quick run"}
    try:
        found = kit.environment(_folder(), kit.python(interpreter))
        names = ["bare", "no-op", KIT, THREE, FULL]
        return kit.measure(found, names, size), {}
    except kit.LeftOutError as error:
        return {}, {KIT: str(error)}


def _folder() -> Path:
    return default_folder() / "bench-kit"


def _print(console: Console, result: Result) -> None:
    titles = {
        "client": "Client: a unary call of grpc.aio, its process's CPU",
        "server": "Server: the same from the other side",
        "kit": "Beside grpc-client-kit, in an interpreter that it runs on",
    }
    for side, title in titles.items():
        rows = [row for row in result.results if row["side"] == side]
        if rows:
            console.print(_table(title, rows))
    for name, reason in result.extra["left_out"].items():
        console.print(f"left out: {name}: {reason}")
    table = Table(title="Budgets")
    for heading in ("budget", "measured", "allowed", ""):
        table.add_column(heading, justify="left" if heading == "budget" else "right")
    for row in result.extra["budgets"]:
        table.add_row(
            row["budget"],
            f"{row['measured']:g}",
            f"{row['allowed']:g}",
            "ok" if row["ok"] else "[red]over[/]",
        )
    console.print(table)
    for reason in result.invalid_reasons:
        console.print(f"[yellow]INVALID[/]: {reason}")
    if result.valid:
        console.print("PASS" if result.verdict == "pass" else "[red]FAIL[/]")


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("variant")
    columns = {
        "cpu us": "cpu_us",
        "added": "added_cpu_us",
        "at ref.": "added_at_reference_us",
        "p50 us": "p50_us",
        "rps": "rps",
        "relative": "relative_rps",
        "message us": "message_cpu_us",
        "added ": "added_message_cpu_us",
    }
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row["name"], *(f"{row[key]:g}" for key in columns.values()))
    return table
