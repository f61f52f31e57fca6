"""`seawall status`: every service, every database gateway, and the wide area."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from cockroach.topology import REGIONS, DatabaseTarget
from lab import state, wan
from lab.console import console_for, expected_errors, json_option
from lab.health import check
from lab.results import Result, emit

T = TypeVar("T")
R = TypeVar("R")


def _each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(work, items))


@click.command()
@json_option
def status(json_path: str | None) -> int:
    """Who runs where, and how far apart the regions are; exit 1 if one is unwell."""
    with expected_errors():
        lab = state.running(state.default_folder())
    tls = None if lab["tls"] is None else Path(lab["tls"])
    services = [
        {**one, "health": health}
        for one, health in zip(
            lab["services"],
            _each(lambda s: check(s["address"], tls=tls), lab["services"]),
            strict=True,
        )
    ]
    folder = Path(lab["state_dir"])
    targets = {r: DatabaseTarget.load(folder / f"database-{r}.json") for r in REGIONS}
    local = [
        (targets[gateway.region], gateway) for gateway in targets[REGIONS[0]].gateways
    ]
    gateways = _each(lambda pair: wan.gateway(targets, pair[1].name), local)
    replicas = [
        one
        for region, target in targets.items()
        for one in target.replicas
        if one.region == region
    ]
    copies = _each(lambda one: wan.copy(targets, one), replicas)
    pairs = [(a, b) for i, a in enumerate(REGIONS) for b in REGIONS[i + 1 :]]
    distances = _each(lambda pair: wan.round_trip(targets, *pair), pairs)
    console = console_for(json_path)
    _print(console, lab, services, gateways, distances)
    if copies:
        _print_copies(console, copies)
    well = all(one["health"] == "SERVING" for one in services) and all(
        one["health"] == "up" for one in (*gateways, *copies)
    )
    emit(
        Result(
            command="status",
            verdict="pass" if well else "fail",
            results=services,
            extra={
                "profile": _profile(lab),
                "gateways": gateways,
                "copies": copies,
                "wan": distances,
            },
        ),
        json_path,
    )
    return 0 if well else 1


def _profile(lab: dict[str, Any]) -> str:
    from lab import flags  # noqa: PLC0415 - only what is running has a flag file

    return flags.read(Path(lab["policies"])).profile


def _print(
    console: Console,
    lab: dict[str, Any],
    services: list[dict[str, Any]],
    gateways: list[dict[str, Any]],
    distances: list[dict[str, Any]],
) -> None:
    console.print(f"process {lab['pid']}, profile {_profile(lab)}")
    table = Table("service", "region", "zone", "address", "metrics", "health")
    for one in services:
        table.add_row(
            one["service"],
            one["region"],
            one["zone"],
            one["address"],
            one["metrics"],
            one["health"],
        )
    console.print(table)
    table = Table("gateway", "region", "zone", "address", "health", "ms")
    for one in gateways:
        table.add_row(
            one["name"],
            one["region"],
            one["zone"],
            one["address"],
            one["health"],
            "-" if one["ms"] is None else f"{one['ms']:.1f}",
        )
    console.print(table)
    table = Table("from", "to", "round trip, ms", "configured")
    for one in distances:
        measured = "-" if one["ms"] is None else f"{one['ms']:.1f}"
        wanted = "-" if one["configured_ms"] is None else f"{one['configured_ms']:.0f}"
        table.add_row(one["from"], one["to"], measured, wanted)
    console.print(table)


def _print_copies(console: Console, copies: list[dict[str, Any]]) -> None:
    table = Table("copy", "of", "region", "address", "health", "behind at most, s")
    for one in copies:
        behind = "-" if one["behind_s"] is None else f"{one['behind_s']:.1f}"
        table.add_row(
            *(one[name] for name in ("name", "of", "region", "address", "health")),
            behind,
        )
    console.print(table)
