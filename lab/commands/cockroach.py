"""`seawall cockroach`: what there is to ask of a database that is not the lab's own."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from cockroach import asking, check, urls
from cockroach.facts import Finding
from lab.commands.cockroach_ranges import ranges
from lab.console import console_for, expected_errors, json_option
from lab.database import URL_VARIABLE
from lab.results import Result, emit

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.group()
def cockroach() -> None:
    """Look at a CockroachDB cluster, or a PostgreSQL server that stands for one."""


cockroach.add_command(ranges)


@cockroach.command("check")
@click.argument("url", envvar=URL_VARIABLE)
@click.option(
    "--status",
    "status_url",
    metavar="URL",
    help="A node's HTTP address, for what its metrics alone tell: "
    "days left of the licence, mean clock offset.",
)
@json_option
def check_(url: str, *, status_url: str | None, json_path: str | None) -> int:
    """Tell whether a database fits the shop, and what to do where it does not.

    URL is like cockroachdb://shop@host:26257,host2:26257/shop; a password is better
    in PGPASSWORD, and the whole of it may stand in SEAWALL_DATABASE. Nothing is
    changed. Exit 0 when it fits, warnings included, 1 when it does not, 2 when no
    host answers.
    """
    with expected_errors():
        parsed = urls.parse(url)
        metrics = (
            asking.status(status_url, ca_file=parsed.options.get("sslrootcert"))
            if status_url
            else (None, None)
        )
        with asking.Asking(parsed) as asked:
            facts = asking.facts(asked, metrics)
    findings = check.evaluate(facts)
    _print(console_for(json_path), findings)
    result = Result(
        command="cockroach check",
        verdict="fail" if check.failed(findings) else "pass",
        results=[one.to_json() for one in findings],
        extra={"flavour": facts.flavour, "version": facts.version},
    )
    emit(result, json_path)
    return result.exit_code


def _print(console: Console, findings: tuple[Finding, ...]) -> None:
    table = Table("what", "", "found", "to do")
    for one in findings:
        colour = _COLOURS[one.verdict]
        table.add_row(one.name, f"[{colour}]{one.verdict}[/]", one.found, one.advice)
    console.print(table)
