"""`seawall logs`: the log lines of every service, joined by time or by trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from lab import state
from lab.console import console_for, expected_errors, json_option
from lab.results import Result, emit


def _lines(folder: Path, service: str | None) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.jsonl")):
        if service is not None and not path.name.startswith(f"{service}-"):
            continue
        with path.open(errors="replace") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    # The last line of a process that is writing just now.
                    continue
                yield {"instance": path.stem, **record}


@click.command()
@click.option("--trace", "trace_id", help="Only the lines of this trace.")
@click.option("--service", help="Only this service's lines.")
@click.option("--level", help="Only this level, for example WARNING.")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True)
@json_option
def logs(
    *,
    trace_id: str | None,
    service: str | None,
    level: str | None,
    limit: int,
    json_path: str | None,
) -> int:
    """Log lines in the order of time; the newest when there are too many."""
    with expected_errors():
        folder = Path(state.running(state.default_folder())["logs"])
    found = [
        record
        for record in _lines(folder, service)
        if (trace_id is None or str(record.get("trace_id", "")).startswith(trace_id))
        and (level is None or record.get("level") == level.upper())
    ]
    found.sort(key=lambda record: str(record.get("time", "")))
    found = found[-limit:]
    console = console_for(json_path)
    for record in found:
        rest = {
            key: value
            for key, value in record.items()
            if key not in {"time", "level", "instance", "message"}
        }
        console.print(
            record.get("time", ""),
            record.get("level", ""),
            record["instance"],
            record.get("message", ""),
            json.dumps(rest) if rest else "",
            markup=False,
            soft_wrap=True,
        )
    emit(Result(command="logs", results=found), json_path)
    return 0
