"""`seawall cockroach ranges`: where a table's rows are, and which part is hot."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import psycopg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cockroach import ranges as parts
from cockroach import urls
from cockroach.hot_ranges import HotRangesError, rates
from cockroach.ranges import Range, Role
from cockroach.schema.tables import GLOBAL, shop
from cockroach.topology import PRIMARY, REGIONS, DatabaseTarget
from lab import state
from lab.console import console_for, expected_errors, json_option, progress
from lab.database import URL_VARIABLE
from lab.results import Result, emit

_CONNECT_S = 5
_QUIETLY: dict[str, Any] = {
    "connect_timeout": _CONNECT_S,
    "application_name": "seawall-ranges",
    "options": "-c default_transaction_read_only=on -c statement_timeout=15000",
    "autocommit": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    engine: str
    parts: list[Range]
    contended: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


@click.command()
@click.argument("table")
@click.option(
    "--url",
    envvar=URL_VARIABLE,
    metavar="URL",
    help="A database instead of the running lab's; better in SEAWALL_DATABASE, "
    "and its password in PGPASSWORD.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1, 600),
    help="Count reads and writes over so many seconds instead of since ever.",
)
@click.option(
    "--status",
    "status_url",
    metavar="URL",
    help="A node's HTTP address: adds how busy each range of CockroachDB is.",
)
@json_option
def ranges(
    table: str,
    *,
    url: str | None,
    seconds: int | None,
    status_url: str | None,
    json_path: str | None,
) -> int:
    """Show where the rows of TABLE are: who serves each part, how large, how hot.

    On CockroachDB its ranges with their leaseholders and splits, on PostgreSQL and
    the lab's own cluster its partitions with their owners. Nothing is changed. Exit 0,
    2 for an unknown table or a database that does not answer, 3 when a region of the
    lab did not answer and its part is missing.
    """
    console = console_for(json_path)
    with expected_errors():
        look = _looker(table, url)
    seen = look()
    if seconds is not None and seen.engine != "cockroachdb":
        before = seen.parts
        with progress(console, "ranges") as step:
            for n in range(seconds):
                step(f"counting for {seconds} s", n / seconds)
                time.sleep(1)
        seen = look()
        seen = replace(seen, parts=parts.since(before, seen.parts))
    if status_url is not None:
        seen = _with_rates(seen, status_url)
    found = parts.with_hot(seen.parts)
    _print(console, seen, found)
    result = Result(
        command="cockroach ranges",
        valid=not seen.missing,
        invalid_reasons=seen.missing,
        results=[one.to_json() for one in found],
        extra={
            "table": table,
            "engine": seen.engine,
            "seconds": seconds,
            "by_region": _by_region(found),
            "contended": seen.contended,
        },
    )
    emit(result, json_path)
    return result.exit_code


def _looker(table: str, url: str | None) -> Callable[[], _Seen]:
    """Choose whom to ask. Raises NoLabError, UrlError and click's own errors."""
    if url is not None:
        where = _asked(url)
        return lambda: _one(table, **where)
    folder = state.default_folder()
    lab = Path(state.running(folder)["state_dir"])
    targets = {r: DatabaseTarget.load(lab / f"database-{r}.json") for r in REGIONS}
    first = targets[PRIMARY]
    if first.flavour != "embedded":
        return lambda: _one(table, **_parameters(first, first.gateways[0].region))
    _known(table, sorted(shop.tables))
    return lambda: _every(table, targets)


def _asked(url: str) -> dict[str, Any]:
    """Give psycopg's parameters; of several hosts the first that answers is asked."""
    found = urls.parse(url)
    where = found.parameters(*found.hosts[0])
    hosts, ports = zip(*found.hosts, strict=True)
    return where | {"host": ",".join(hosts), "port": ",".join(map(str, ports))}


def _known(table: str, known: Sequence[str]) -> None:
    try:
        parts.check_table(table, known)
    except parts.UnknownTableError as error:
        raise click.ClickException(str(error)) from None


def _one(table: str, **parameters: Any) -> _Seen:
    """Ask one database, whatever it is."""
    with _session(**parameters) as session:
        _known(table, parts.tables(session))
        if parts.is_cockroach(session):
            return _Seen(
                engine="cockroachdb",
                parts=parts.ranges(session, table),
                contended=parts.contended(session, table),
            )
        return _Seen(engine="postgresql", parts=parts.partitions(session, table))


def _every(table: str, targets: dict[str, DatabaseTarget]) -> _Seen:
    """Ask each region's own server of the embedded cluster for what it has."""
    is_global = shop.tables[table].info["locality"] == GLOBAL
    found: list[Range] = []
    missing: list[str] = []
    for region, target in targets.items():
        try:
            with _session(**_parameters(target, region)) as session:
                own = parts.partitions(session, table, region=region)
        except click.ClickException as error:
            missing.append(f"{region}: {error.message}")
            continue
        role: Role = "replica" if is_global and region != PRIMARY else "owner"
        found.extend(replace(one, role=role) for one in own if one.role == "owner")
    if not found:
        raise click.ClickException("; ".join(missing))
    return _Seen(engine="postgresql", parts=found, missing=missing)


def _with_rates(seen: _Seen, status_url: str) -> _Seen:
    if seen.engine != "cockroachdb":
        raise click.UsageError("--status is for CockroachDB; use --seconds")
    try:
        return replace(seen, parts=parts.with_rates(seen.parts, rates(status_url)))
    except HotRangesError as error:
        raise click.ClickException(str(error)) from None


def _parameters(target: DatabaseTarget, region: str) -> dict[str, Any]:
    return target.parameters(target.in_region(region)[0])


@contextmanager
def _session(**parameters: Any) -> Iterator[parts.Session]:
    """Open a session that cannot write; a sentence and exit code 2 if it fails."""
    try:
        with psycopg.connect(**{**parameters, **_QUIETLY}) as session:
            yield session
    except psycopg.Error as error:
        # The first line; a server's hint may quote more than is wanted.
        reason = str(error).strip().partition("\n")[0]
        raise click.ClickException(f"the database refuses: {reason}") from None


def _by_region(found: Sequence[Range]) -> dict[str, dict[str, int]]:
    counted: dict[str, Counter[str]] = {}
    for one in found:
        region = counted.setdefault(one.region or "unknown", Counter())
        region.update(
            {
                "parts": 1,
                "rows": one.rows or 0,
                "size_bytes": one.size_bytes or 0,
                "reads": one.reads or 0,
                "writes": one.writes or 0,
            }
        )
    return {region: dict(figures) for region, figures in counted.items()}


def _print(console: Console, seen: _Seen, found: Sequence[Range]) -> None:
    crdb = seen.engine == "cockroachdb"
    more = ("from key", "split until", "a second") if crdb else ("reads", "writes")
    table = Table("part", "role", "region", "zone", "copies", "rows", "MB", *more, "")
    for one in found:
        tail = (
            (
                escape(one.start) or "-",
                one.split_until or "-",
                "-" if one.per_second is None else f"{one.per_second:.0f}",
            )
            if crdb
            else (_count(one.reads), _count(one.writes))
        )
        table.add_row(
            one.name,
            one.role,
            one.region or "-",
            one.zone or "-",
            ", ".join(one.copies) or "-",
            _count(one.rows),
            "-" if one.size_bytes is None else f"{one.size_bytes / 1e6:.1f}",
            *tail,
            "hot" if one.hot else "",
        )
    console.print(table)
    for region, figures in _by_region(found).items():
        console.print(f"{region}: {figures['parts']} of {len(found)} parts")
    for index, events in seen.contended.items():
        console.print(f"index {index}: {events} waits for a lock", markup=False)
    for reason in seen.missing:
        console.print(f"missing: {reason}", style="red", markup=False)


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number}"
