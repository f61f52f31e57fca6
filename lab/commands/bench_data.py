"""`seawall bench data`: what the data layer adds to a transaction, on this machine."""

from __future__ import annotations

import click

from lab import tables
from lab.console import console_for, expected_errors, json_option
from lab.results import Result, emit

TURNS = 300
QUICK_TURNS = 20


@click.command("data")
@click.option(
    "--turns",
    type=click.IntRange(3, 10_000),
    help=f"Turns of 5 transactions for each way.  [default: {TURNS}]",
)
@click.option("--quick", is_flag=True, help=f"{QUICK_TURNS} turns: a look.")
@click.option("--no-verdict", is_flag=True, help="Figures only; judge nothing.")
@json_option
def data(
    *, turns: int | None, quick: bool, no_verdict: bool, json_path: str | None
) -> int:
    """Time that the runner and the router add to a transaction over plain SQLAlchemy.

    On an embedded cluster of its own, in turns within one run; and what a hundred
    rows cost far away, one by one, pipelined, and in one statement.
    """
    from rich.table import Table  # noqa: PLC0415 - as slow as the rest

    from lab.bench import data as bench  # noqa: PLC0415 - imports SQLAlchemy

    console = console_for(json_path)
    number = turns or (QUICK_TURNS if quick else TURNS)
    with expected_errors():
        found, doubts = bench.measure(number)
    budgets = bench.judged(found)
    table = Table(title="Data layer", title_justify="left")
    for place, column in enumerate(("", "median, µs", "added, µs", "of plain")):
        table.add_column(column, justify="right" if place else "left")
    for one in found:
        table.add_row(
            one.name,
            f"{one.median_us:.0f}",
            f"{one.added_us:+.1f}",
            f"{one.share:+.1%}",
        )
    console.print(table)
    verdict = "pass" if all(one["ok"] for one in budgets) else "fail"
    result = Result(
        command="bench data",
        valid=no_verdict or not doubts,
        invalid_reasons=[] if no_verdict else doubts,
        verdict=None if no_verdict or doubts else verdict,
        results=[one.document() for one in found],
        extra={"budgets": budgets, "turns": number, "doubts": doubts},
    )
    if not no_verdict:
        tables.verdict(console, result.document())
    emit(result, json_path)
    return result.exit_code
