"""`seawall bench`: what the policies cost, measured on this machine."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import psutil
from rich.console import Console

from lab import tables
from lab.commands.bench_data import data
from lab.console import console_for, expected_errors, json_option, progress
from lab.results import Result, emit

if TYPE_CHECKING:
    from lab.bench.kit import Environment
    from lab.bench.run import Run

ROUNDS = 20
QUICK_ROUNDS = 3


@click.group()
def bench() -> None:
    """Measure what something costs on this machine."""


bench.add_command(data)


def _known(
    _context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    from lab.bench.variants import NAMES  # noqa: PLC0415 - imports grpc

    for name in names:
        if name not in NAMES:
            known = ", ".join(NAMES)
            raise click.BadParameter(f"{name!r} is none of: {known}")
    return names


@bench.command()
@click.option(
    "--rounds",
    type=click.IntRange(2, 1000),
    help=f"Each measures every variant, the judged ones often.  [default: {ROUNDS}]",
)
@click.option("--quick", is_flag=True, help=f"{QUICK_ROUNDS} short rounds: a look.")
@click.option(
    "--variant",
    "names",
    multiple=True,
    metavar="NAME",
    callback=_known,
    help="Only these, beside bare gRPC.",
)
@click.option("--kit-python", metavar="PATH", help="Python 3.12+ for grpc-client-kit.")
@click.option("--no-kit", is_flag=True, help="Leave grpc-client-kit out.")
@json_option
def resilience(
    *,
    rounds: int | None,
    quick: bool,
    names: tuple[str, ...],
    kit_python: str | None,
    no_kit: bool,
    json_path: str | None,
) -> int:
    """CPU, latency and throughput that the resilience policies add to a gRPC call.

    Measured beside bare gRPC, an interceptor that does nothing, a textbook pybreaker
    with tenacity, OpenTelemetry and grpc-client-kit, in turns within one run.
    """
    from lab.bench import budgets, figures  # noqa: PLC0415 - imports grpc
    from lab.bench.run import BenchError  # noqa: PLC0415
    from lab.bench.tables import show, show_budgets  # noqa: PLC0415

    if kit_python and no_kit:
        raise click.UsageError("--kit-python and --no-kit exclude each other")
    console = console_for(json_path)
    number = rounds or (QUICK_ROUNDS if quick else ROUNDS)
    with expected_errors():
        try:
            runs, skipped = _measure(
                console,
                number,
                names,
                kit_python,
                quick=quick,
                no_kit=no_kit,
            )
        except BenchError as error:
            raise click.ClickException(str(error)) from error
    found = figures.figures(runs)
    judged = budgets.judge(runs, found)
    reasons = budgets.doubts(found)
    refusal = next((run.refusal for run in runs if run.refusal), None)
    show(console, found, skipped, refusal)
    show_budgets(console, judged)
    result = Result(
        command="bench resilience",
        valid=not reasons,
        invalid_reasons=reasons,
        verdict=None if reasons else budgets.verdict(judged),
        results=[one.document() for one in found],
        extra={
            "budgets": [one.document() for one in judged],
            "refusal": refusal,
            "skipped": skipped,
            "rounds": number,
            "quick": quick,
            "machine": {
                "cpus": psutil.cpu_count(),
                "system": platform.platform(terse=True),
                "python": [run.python for run in runs],
                "grpcio": [run.grpcio for run in runs],
            },
        },
    )
    if result.verdict is None and result.valid:
        console.print("no verdict: the full chains were not both measured")
    else:
        tables.verdict(console, result.document())
    emit(result, json_path)
    return result.exit_code


def _measure(
    console: Console,
    rounds: int,
    names: Sequence[str],
    kit_python: str | None,
    *,
    quick: bool,
    no_kit: bool,
) -> tuple[list[Run], list[dict[str, str]]]:
    from lab.bench import run, variants  # noqa: PLC0415 - imports grpc
    from lab.bench.measure import Size  # noqa: PLC0415

    size = (
        Size(calls=60, calls_each=3, messages=300)
        if quick
        else Size(calls=100, calls_each=8, messages=500)
    )
    always = (variants.BARE, variants.AGAIN)
    chosen = [*always, *names] if names else None
    served = [
        one.name for one in variants.SERVER if chosen is None or one.name in chosen
    ]
    plan = run.Plan(
        sides=("client", "server", "blocking"),
        size=size,
        rounds=rounds,
        names=chosen,
        refusals=True,
    )
    skipped: list[dict[str, str]] = []
    with progress(console, "bench") as step:
        wanted = chosen is None or variants.KIT in chosen
        kit = (
            _kit(kit_python, skipped, make=not quick) if wanted and not no_kit else None
        )
        if wanted and no_kit:
            skipped.append(_left_out("--no-kit"))
        share = 0.8 if kit else 1.0
        with run.servers(served) as servers:
            skipped += servers.skipped
            runs = [
                run.measure(
                    plan,
                    servers.addresses,
                    lambda what, done: step(what, share * done),
                )
            ]
            if kit is not None:
                beside = run.Plan(sides=("client",), size=size, rounds=rounds, kit=True)
                runs.append(
                    run.measure(
                        beside,
                        servers.addresses,
                        lambda what, done: step(what, share + (1 - share) * done),
                        python=kit.python,
                        path=kit.path,
                    )
                )
    for one in runs:
        skipped += one.skipped
    return runs, skipped


def _kit(
    python: str | None, skipped: list[dict[str, str]], *, make: bool
) -> Environment | None:
    from lab.bench.kit import KitUnavailableError, environment  # noqa: PLC0415

    try:
        return environment(python, make=make)
    except KitUnavailableError as error:
        if python:
            raise click.UsageError(str(error)) from error
        skipped.append(_left_out(str(error)))
        return None


def _left_out(reason: str) -> dict[str, str]:
    from lab.bench.variants import KIT  # noqa: PLC0415

    return {"side": "client", "name": KIT, "reason": reason}
