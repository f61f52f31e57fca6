"""`seawall report`: the report of stored runs, made again or made to compare."""

from __future__ import annotations

from pathlib import Path

import click

from lab import state
from lab.console import console_for, expected_errors, json_option
from lab.report import making, stored
from lab.report.stored import Run
from lab.results import Result, emit

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("runs", nargs=-1, type=FOLDER, metavar="[RUN_DIR]...")
@click.option(
    "--compare",
    type=FOLDER,
    metavar="RUN_DIR",
    help="Compare with this run of the same profile.",
)
@click.option(
    "--out",
    type=FOLDER,
    metavar="DIR",
    help="Where to write; a folder beside the stored runs by default.",
)
@json_option
def report(
    runs: tuple[Path, ...],
    *,
    compare: Path | None,
    out: Path | None,
    json_path: str | None,
) -> int:
    """Write the report of stored runs: a page, the same as Markdown and as JSON.

    Of the newest runs, sick and cured with one seed, unless folders are named: one
    run, one of each profile, or two of one profile to compare.
    """
    folder = state.default_folder()
    with expected_errors():
        chosen = _chosen(runs, compare, folder / "runs")
        made, paths = making.make(chosen, state=folder, folder=out)
    console = console_for(json_path)
    names = ", ".join(run.folder.name for run in made.runs)
    console.print(f"of {names}", markup=False, soft_wrap=True)
    console.print(f"report: {paths['html']}", markup=False, soft_wrap=True)
    outcome = made.outcome
    result = Result(
        command="report",
        valid=outcome["valid"],
        invalid_reasons=outcome["invalid_reasons"],
        verdict=outcome["verdict"],
        results=outcome["results"],
        extra={"report": paths},
    )
    with expected_errors():
        emit(result, json_path)
    # The report is made, whatever it says.
    return 0


def _chosen(
    runs: tuple[Path, ...], compare: Path | None, stored_runs: Path
) -> list[Run]:
    if compare is None:
        if not runs:
            return stored.newest(stored_runs)
        return [stored.load(one) for one in runs]
    if len(runs) > 1:
        raise click.UsageError("--compare takes one run beside it, or none")
    other = stored.load(compare)
    mine = stored.load(runs[0]) if runs else stored.newest_like(stored_runs, other)
    if mine.profile != other.profile:
        raise click.UsageError(
            f"--compare is for runs of one profile; these are {other.profile} and "
            f"{mine.profile}"
        )
    return [other, mine]
