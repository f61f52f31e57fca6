"""`seawall traces`: find traces, and draw one as a tree."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from lab import state
from lab.console import console_for, expected_errors, json_option
from lab.results import Result, emit
from observability import names
from observability.store import TraceStore
from observability.tree import render

# What an event tells of a plan begins with this.
PLAN = f"{names.EVENT_SLOW_PLAN}."


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise click.UsageError(f"{text!r}: say --attribute KEY=VALUE")
        pairs[key] = value
    return pairs


@click.command()
@click.argument("trace_id", required=False)
@click.option("--service", help="Traces with a span of this service.")
@click.option("--operation", help="Traces with a span of this name.")
@click.option("--min-ms", type=float, help="At least this long.")
@click.option("--max-ms", type=float, help="At most this long.")
@click.option("--status", type=click.Choice(["OK", "ERROR", "UNSET"]))
@click.option("--attribute", multiple=True, metavar="KEY=VALUE")
@click.option(
    "--min-spans",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Traces of one span are mostly looks for work that found none.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option(
    "--store",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A stored run's traces.db instead of the running lab's.",
)
@json_option
def traces(
    trace_id: str | None,
    *,
    service: str | None,
    operation: str | None,
    min_ms: float | None,
    max_ms: float | None,
    status: str | None,
    attribute: tuple[str, ...],
    min_spans: int,
    limit: int,
    store: Path | None,
    json_path: str | None,
) -> int:
    """List traces, or draw the one whose id (or its beginning) is given."""
    with expected_errors():
        path = store or Path(state.running(state.default_folder())["traces"])
        source = TraceStore(path)
    if trace_id is not None:
        return _draw(source, trace_id, json_path)
    found = source.find(
        service=service,
        # As grpcurl and as the wire write it; span names have no slash in front.
        operation=operation and operation.lstrip("/"),
        min_ms=min_ms,
        max_ms=max_ms,
        status=status,
        attributes=_pairs(attribute),
        min_spans=min_spans,
        limit=limit,
    )
    table = Table("trace", "started", "root", "service", "ms", "spans", "status")
    rows: list[dict[str, Any]] = []
    for one in found:
        started = dt.datetime.fromtimestamp(one.start_ns / 1e9, dt.UTC)
        table.add_row(
            one.trace_id,
            started.strftime("%H:%M:%S.%f")[:-3],
            one.root,
            one.service,
            f"{one.duration_ms:.1f}",
            str(one.spans),
            one.status,
        )
        rows.append(
            {
                "trace_id": one.trace_id,
                "start_ns": one.start_ns,
                "root": one.root,
                "service": one.service,
                "duration_ms": one.duration_ms,
                "spans": one.spans,
                "status": one.status,
            }
        )
    console_for(json_path).print(table)
    emit(Result(command="traces", results=rows), json_path)
    return 0


def _draw(source: TraceStore, trace_id: str, json_path: str | None) -> int:
    spans = source.trace(trace_id)
    if not spans:
        raise click.ClickException(f"no trace {trace_id}")
    console_for(json_path).print(render(spans))
    rows = [
        {
            "span_id": span.span_id,
            "parent_id": span.parent_id,
            "name": span.name,
            "service": span.service,
            "start_ns": span.start_ns,
            "end_ns": span.end_ns,
            "status": span.status,
            "attributes": span.attributes,
            "plans": [
                {
                    key.removeprefix(PLAN): value
                    for key, value in event.attributes.items()
                    if key.startswith(PLAN)
                }
                for event in span.events
                if event.name == names.EVENT_SLOW_PLAN
            ],
        }
        for span in spans
    ]
    emit(Result(command="traces", results=rows), json_path)
    return 0
