"""`seawall up` and `seawall down`: keep a lab running, and end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from cockroach import urls
from lab import launcher, layout, profiles, state
from lab.console import console_for, expected_errors, json_option, progress
from lab.database import URL_VARIABLE, database_options
from lab.results import Result, emit

DETACH_S = 60.0
STOP_S = 30.0


@click.command()
@click.option("--profile", type=click.Choice(profiles.PROFILES), default="cured")
@click.option("--detach", is_flag=True, help="Return when all is ready.")
@click.option(
    "--port-base",
    type=click.IntRange(0, 65000),
    default=layout.DEFAULT_PORT_BASE,
    show_default=True,
    help="First of the services' ports; 0 picks free ones.",
)
@click.option(
    "--tls",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder that `seawall certs` made: mutual TLS everywhere.",
)
@click.option("--fresh", is_flag=True, help="Start with a new database.")
@click.option(
    "--replicas",
    is_flag=True,
    help="Keep a copy of each region's server in the region nearest to it, which "
    "tells order histories while the home cannot. Takes memory.",
)
@database_options
@json_option
def up(
    profile: profiles.Profile,
    *,
    detach: bool,
    port_base: int,
    tls: Path | None,
    fresh: bool,
    replicas: bool,
    database: str | None,
    migrate: bool,
    json_path: str | None,
) -> int:
    """Start the lab in the foreground, until Ctrl-C."""
    if fresh and database:
        raise click.UsageError("--fresh is for the embedded database, not for yours")
    if migrate and not database:
        raise click.UsageError("--migrate needs --database; the embedded one does")
    console = console_for(json_path)
    with expected_errors():
        url = urls.parse(database) if database else None
    config = launcher.LabConfig(
        folder=state.default_folder(),
        cures=profiles.cures_of(profile),
        port_base=port_base,
        tls=tls,
        fresh=fresh,
        replicas=replicas,
        database=url,
        migrate=migrate,
    )
    with expected_errors():
        if detach:
            _detach(config.folder, sys.argv[1:], database)
            document = state.running(config.folder)
            console.print(f"ready: 28 services, process {document['pid']}")
            return emit_ready(document, json_path)
        with progress(console, "starting") as show:
            running = launcher.running(config, show)
            lab = running.__enter__()
        try:
            document = state.running(config.folder)
            _greet(console, lab, document)
            emit_ready(document, json_path)
            _supervise(lab)
        finally:
            running.__exit__(None, None, None)
    return 0


def emit_ready(document: dict[str, object], json_path: str | None) -> int:
    """Tell that the lab is ready in the shape of `--json`."""
    extra = {"pid": document["pid"], "ready_s": document["ready_s"]}
    result = Result(command="up", results=[document["services"]], extra=extra)
    emit(result, json_path)
    return result.exit_code


def _greet(console: Console, lab: launcher.Lab, document: dict[str, object]) -> None:
    front = next(one for one in lab.placed if one.service == "storefront")
    console.print(
        f"ready in {lab.ready_s:.1f} s: {len(lab.placed)} services in three regions, "
        f"profile {document['profile']}"
    )
    console.print(f"  grpcurl -plaintext {front.address} list")
    for note in lab.notes:
        console.print(f"  {note}")
    console.print("  seawall status | seawall traces | seawall flags list")
    console.print("Ctrl-C stops it.")


def _supervise(lab: launcher.Lab) -> None:
    while True:
        time.sleep(0.5)
        for name, code in lab.children.dead():
            raise click.ClickException(
                f"{name} ended with exit code {code}; the lab is stopped. "
                f"Its log: {lab.config.folder / 'logs' / name}.jsonl"
            )


def _without(arguments: list[str], option: str) -> list[str]:
    """Leave an option and its value out, in either spelling."""
    kept, skip = [], False
    for one in arguments:
        if skip or one.startswith(f"{option}="):
            skip = False
        elif one == option:
            skip = True
        else:
            kept.append(one)
    return kept


def _detach(folder: Path, arguments: list[str], database: str | None) -> None:
    if state.is_owned(folder):
        raise state.LabRunningError(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kept = [a for a in arguments if a != "--detach"]
    kept = _without(_without(kept, "--json"), "--database")
    environ = dict(os.environ)
    if database:
        # Arguments are for everybody to see.
        environ[URL_VARIABLE] = database
    output = folder / "up.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.cli", *kept],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environ,
        )
    end = time.monotonic() + DETACH_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise click.ClickException(
                output.read_text().strip().removeprefix("Error: ") or "did not start"
            )
        document = state.read(folder)
        if document is not None and document["pid"] == process.pid:
            return
        time.sleep(0.05)
    process.terminate()
    raise click.ClickException(f"not ready after {DETACH_S:.0f} s; see {output}")


@click.command()
@json_option
def down(json_path: str | None) -> int:
    """Stop the lab that runs in this folder."""
    console = console_for(json_path)
    folder = state.default_folder()
    with expected_errors():
        pid = int(state.running(folder)["pid"])
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + STOP_S
        while state.is_owned(folder):
            if time.monotonic() > end:
                raise click.ClickException(
                    f"process {pid} did not stop within {STOP_S:.0f} s"
                )
            time.sleep(0.05)
    console.print("stopped")
    emit(Result(command="down"), json_path)
    return 0
