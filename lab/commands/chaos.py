"""`seawall chaos`: experiments by name, with an honest exit code."""

from __future__ import annotations

from typing import Literal

import click
from click.core import ParameterSource

from chaos import preflight
from cockroach import urls
from cockroach.asking import Asking
from lab import experiments, launcher, layout, profiles, state
from lab.console import console_for, expected_errors, json_option
from lab.database import database_options
from lab.repeat import repeat_option
from lab.results import Result, emit


@click.group()
def chaos() -> None:
    """Hurt the shop for real, and judge from traces how it took it."""


@chaos.command("list")
@json_option
def list_(json_path: str | None) -> int:
    """List the experiments that there are."""
    rows = experiments.available()
    console = console_for(json_path)
    for row in rows:
        console.print(f"[bold]{row['name']}[/]  {row['title']}")
    emit(Result(command="chaos list", results=rows), json_path)
    return 0


@chaos.command("run")
@click.argument("name")
@click.option(
    "--profile",
    type=click.Choice([*profiles.PROFILES, "both"]),
    default="both",
    show_default=True,
)
@click.option(
    "--without",
    metavar="CURE",
    multiple=True,
    type=click.Choice(profiles.CURE_NAMES),
    help="Leave this cure out of the cured profile, and judge it as cured.",
)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option(
    "--port-base",
    type=click.IntRange(0, 65000),
    default=layout.DEFAULT_PORT_BASE,
    show_default=True,
    help="For a lab started for this run; 0 picks free ports.",
)
@database_options
@repeat_option
@json_option
def run(
    name: str,
    *,
    profile: profiles.Profile | Literal["both"],
    without: tuple[str, ...],
    seed: int,
    repeat: int,
    port_base: int,
    database: str | None,
    migrate: bool,
    json_path: str | None,
) -> int:
    """Run an experiment.

    On the lab that runs here, if one does and has these cures; otherwise on one
    started for the run, with the embedded database or with the one given. `both`
    always starts its own, one after the other.
    """
    rows = {row["name"]: row for row in experiments.available()}
    if name not in rows:
        raise click.UsageError(f"no experiment {name!r}; there are: {', '.join(rows)}")
    if without and profile != "cured":
        raise click.UsageError("--without needs --profile cured")
    if migrate and not database:
        raise click.UsageError("--migrate needs --database; the embedded one does")
    console = console_for(json_path)
    folder = state.default_folder()
    with expected_errors():
        url = urls.parse(database) if database else None
        if profile == "both" or repeat > 1 or not state.is_owned(folder):
            _refuse_unfit(name, rows[name]["needs"], url)
        elif _on_the_command_line("database"):
            raise state.LabRunningError(folder, "it has its database already")
    config = launcher.LabConfig(
        folder=folder,
        cures={},
        port_base=port_base,
        fresh=True,
        database=url,
        migrate=migrate,
    )
    with expected_errors():
        if profile == "both":
            result = experiments.sick_and_cured(
                name,
                config=config,
                seed=seed,
                console=console,
                command="chaos run",
                repeats=repeat,
            )
        else:
            result = experiments.one_profile(
                name,
                profile,
                config=config,
                seed=seed,
                console=console,
                without=without,
                repeats=repeat,
            )
    emit(result, json_path)
    return result.exit_code


def _refuse_unfit(name: str, needs: str, url: urls.DatabaseUrl | None) -> None:
    """Raise UsageError when the lab to be started has not what the experiment needs.

    Raises NotReachableError when the database has to be asked and does not answer.
    """
    flavour = preflight.EMBEDDED
    if needs and url is not None:
        flavour = "given"
        if needs != preflight.LINKS:
            with Asking(url) as asked:
                flavour = asked.askers[0].flavour
    why = preflight.unfit(needs, flavour)
    if why:
        more = "" if needs == preflight.LINKS else "; --database URL names another"
        raise click.UsageError(f"{name} {why}{more}")


def _on_the_command_line(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is ParameterSource.COMMANDLINE
