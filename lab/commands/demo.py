"""`seawall demo`: sick, then cured, then the verdict."""

from __future__ import annotations

import click

from lab import experiments, launcher, layout, state
from lab.console import console_for, expected_errors, json_option
from lab.repeat import repeat_option
from lab.results import emit

SCENARIO = "slow-database"


@click.command()
@click.option("--seed", type=int, default=7, show_default=True)
@click.option(
    "--port-base",
    type=click.IntRange(0, 65000),
    default=layout.DEFAULT_PORT_BASE,
    show_default=True,
    help="First of the services' ports; 0 picks free ones.",
)
@repeat_option
@json_option
def demo(*, seed: int, repeat: int, port_base: int, json_path: str | None) -> int:
    """One region's database turns slow under load: first sick, then cured.

    Starts everything, plays the same arrivals and the same fault against both
    profiles, judges both from their traces, and exits by the verdict.
    """
    console = console_for(json_path)
    config = launcher.LabConfig(
        folder=state.default_folder(), cures={}, port_base=port_base, fresh=True
    )
    with expected_errors():
        result = experiments.sick_and_cured(
            SCENARIO,
            config=config,
            seed=seed,
            console=console,
            command="demo",
            repeats=repeat,
        )
    emit(result, json_path)
    return result.exit_code
