"""`seawall flags`: see and switch the cures of the running lab."""

from __future__ import annotations

from pathlib import Path

import click

from lab import flags as flag_file
from lab import profiles, state, tables
from lab.console import console_for, expected_errors, json_option
from lab.results import Result, emit


def _path() -> Path:
    return Path(state.running(state.default_folder())["policies"])


@click.group()
def flags() -> None:
    """Each cure is a switch of its own."""


@flags.command("list")
@json_option
def list_(json_path: str | None) -> int:
    """All cures, and the policy values that each of them moves."""
    with expected_errors():
        current = flag_file.read(_path())
    tables.settings(console_for(json_path), current.cures)
    rows = [{"name": n, "on": current.cures[n]} for n in profiles.CURE_NAMES]
    extra = {"profile": current.profile, "version": current.version}
    emit(Result(command="flags list", results=rows, extra=extra), json_path)
    return 0


@flags.command("get")
@click.argument("name")
@json_option
def get(name: str, json_path: str | None) -> int:
    """One cure: on or off."""
    if name not in profiles.CURE_NAMES:
        raise click.UsageError(str(profiles.UnknownCureError(name)))
    with expected_errors():
        on = flag_file.read(_path()).cures[name]
    console_for(json_path).print("on" if on else "off")
    emit(Result(command="flags get", results=[{"name": name, "on": on}]), json_path)
    return 0


@flags.command("set")
@click.argument("switches", nargs=-1, required=True, metavar="NAME=on|off...")
@json_option
def set_(switches: tuple[str, ...], json_path: str | None) -> int:
    """Switch cures while the lab runs: NAME=on, NAME=off, or all=on."""
    changes: dict[str, bool] = {}
    for switch in switches:
        name, _, value = switch.partition("=")
        if value not in {"on", "off"}:
            raise click.UsageError(f"{switch!r}: say NAME=on or NAME=off")
        names = profiles.CURE_NAMES if name == "all" else (name,)
        changes |= dict.fromkeys(names, value == "on")
    try:
        with expected_errors():
            changed = flag_file.change(_path(), changes)
    except profiles.UnknownCureError as error:
        raise click.UsageError(str(error)) from error
    console_for(json_path).print(f"profile is now {changed.profile}")
    rows = [{"name": n, "on": on} for n, on in changed.cures.items()]
    extra = {"profile": changed.profile, "version": changed.version}
    emit(Result(command="flags set", results=rows, extra=extra), json_path)
    return 0
