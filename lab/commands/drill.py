"""`seawall drill`: what a disaster costs, measured, and when it was last rehearsed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab import drill_tables, state
from lab.console import console_for, expected_errors, json_option, progress
from lab.results import Result, emit

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from cockroach.drills.faults import FaultName

_FAULTS = ("kill", "pause", "black-hole", "disk-full")
_targets_option = click.option(
    "--targets",
    "targets_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Owners, costs and promises of your own, instead of the built-in file.",
)


def _folder() -> Path:
    return state.default_folder() / "drills"


def _history() -> Path:
    return _folder() / "history.jsonl"


@contextmanager
def _drill_errors() -> Iterator[None]:
    from cockroach.drills import DrillError  # noqa: PLC0415 - keeps other commands fast

    try:
        with expected_errors():
            yield
    except DrillError as error:
        raise click.ClickException(str(error)) from error


@click.group()
def drill() -> None:
    """Rehearse a disaster: how much work is lost, how long until writing works."""


@drill.command("list")
@_targets_option
@json_option
def list_(*, targets_path: Path | None, json_path: str | None) -> int:
    """List the drills, what each solution promises, and what runs here."""
    from cockroach.drills import load_targets  # noqa: PLC0415
    from cockroach.drills.catalogue import catalogue  # noqa: PLC0415

    with _drill_errors():
        rows = catalogue(load_targets(targets_path), os.environ)
    drill_tables.listed(console_for(json_path), rows)
    emit(Result(command="drill list", results=rows), json_path)
    return 0


@drill.command("run")
@click.argument("name")
@click.option(
    "--fault",
    type=click.Choice(_FAULTS),
    default="kill",
    show_default=True,
    help="What befalls the server of a standby's drill.",
)
@click.option(
    "--rows",
    "sizes",
    type=click.IntRange(1, 2_000_000),
    multiple=True,
    help="Rows there before the fault; twice for two sizes.  [default: 5000, 100000]",
)
@click.option(
    "--day-part",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="How far into its day the first fault of backup-restore comes.",
)
@click.option("--seed", type=int, default=7, show_default=True)
@_targets_option
@json_option
def run(
    name: str,
    *,
    fault: FaultName,
    sizes: tuple[int, ...],
    day_part: float,
    seed: int,
    targets_path: Path | None,
    json_path: str | None,
) -> int:
    """Run a drill: write, strike, recover, compare row by row.

    Intervals and the promised RPO are scaled, the RTO is not. Exits 1 when more was
    lost, or it took longer, than the targets file promises; 2 when the drill cannot
    be had here; 3 when it proves nothing.
    """
    from cockroach.drills import catalogue, history, load_targets  # noqa: PLC0415
    from cockroach.drills.plan import Plan  # noqa: PLC0415

    console = console_for(json_path)
    plan = Plan(fault=fault, day_part=day_part, seed=seed)
    if sizes:
        plan = replace(plan, sizes=sizes)
    with _drill_errors():
        targets = load_targets(targets_path)
        if name not in catalogue.TITLES:
            known = ", ".join(catalogue.TITLES)
            raise click.UsageError(f"no drill {name!r}; there are: {known}")
        if name not in targets:
            raise click.UsageError(f"the targets file promises nothing for {name!r}")
        with progress(console, f"drill {name}") as step, _tracer() as tracer:
            found = catalogue.run(
                name,
                target=targets[name],
                plan=plan,
                folder=_folder(),
                tracer=tracer,
                environ=os.environ,
                progress=step,
            )
        history.remember(_history(), _rehearsal(found))
    drill_tables.ran(console, found)
    result = Result(
        command="drill run",
        valid=found["valid"],
        invalid_reasons=found["invalid_reasons"],
        verdict=found["verdict"],
        results=[found],
    )
    drill_tables.verdict(console, found)
    emit(result, json_path)
    return result.exit_code


@drill.command("history")
@_targets_option
@json_option
def history_(*, targets_path: Path | None, json_path: str | None) -> int:
    """Show what was rehearsed when. Exits 1 when a rehearsal is overdue."""
    from cockroach.drills import history, load_targets  # noqa: PLC0415

    with _drill_errors():
        runs = history.recall(_history())
        due = history.standing(load_targets(targets_path), runs, now=time.time())
    late = [one for one in due if one.overdue]
    drill_tables.history(console_for(json_path), due)
    result = Result(
        command="drill history",
        verdict="fail" if late else "pass",
        results=[{**asdict(one), "overdue": one.overdue} for one in due],
        extra={"runs": [asdict(one) for one in runs]},
    )
    emit(result, json_path)
    return result.exit_code


def _rehearsal(found: Mapping[str, Any]) -> Any:
    from cockroach.drills.history import Rehearsal  # noqa: PLC0415

    same = ("name", "fault", "valid", "verdict", "rpo_s", "lost_rows", "rto_s")
    return Rehearsal(at=time.time(), **{key: found[key] for key in same})


@contextmanager
def _tracer() -> Iterator[Tracer]:
    """Trace into the running lab's store, or wherever the environment says."""
    from observability import tracing  # noqa: PLC0415

    environ = dict(os.environ)
    folder = state.default_folder()
    document = state.read(folder) if state.is_owned(folder) else None
    if document is not None:
        environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", document["otlp"])
    telemetry = tracing.setup(
        service="drill",
        region="",
        zone="",
        instance="drill",
        environ=environ,
        make_global=False,
    )
    try:
        yield telemetry.tracer
    finally:
        telemetry.shutdown()
