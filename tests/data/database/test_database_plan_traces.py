"""From a slow statement to what a person reads: span, store, `seawall traces`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from sqlalchemy import select

from cockroach import ids
from cockroach.plans import PlanPolicy
from cockroach.schema.tables import customers
from lab import cli
from observability import names
from observability.collector.writer import StoreWriter

EVERY = select(customers.c.name).where(customers.c.id == ids.customer_id("eu", 3).uuid)


@pytest.fixture
async def stored(database, spans, until, tmp_path: Path) -> tuple[Path, str]:
    """Store the trace of one statement that named no region."""
    one = database("eu", plans=PlanPolicy(after_s=0.0))
    await one.start()
    await one.fetch("eu", EVERY)

    def asked() -> list[Any]:
        return [s for s in spans.get_finished_spans() if s.name == "SELECT customers"]

    await until(lambda: bool(asked()))
    (span,) = asked()
    path = tmp_path / "traces.db"
    writer = StoreWriter(path)
    writer.put(encode_spans([span]))
    assert writer.close(10)
    return path, f"{span.context.trace_id:032x}"


def _traces(*words: str) -> None:
    assert cli.seawall.main(["traces", *words], standalone_mode=False) == 0


async def test_the_trace_tells_the_plan_in_one_line(stored, capsys) -> None:
    """Regions, rows, full scans and remote statements, and the steps below."""
    path, trace_id = stored
    _traces(trace_id, "--store", str(path))
    drawn = capsys.readouterr().out
    (line,) = [one for one in drawn.splitlines() if "plan: " in one]
    for told in (
        "regions asia, eu, us",
        "rows 3 (estimated ",
        "full scans none",
        "remote statements 2",
    ):
        assert told in line
    assert "Foreign Scan on customers in asia" in drawn


async def test_the_json_has_the_figures_as_they_are(stored, capsys) -> None:
    """A program gets lists and numbers."""
    path, trace_id = stored
    _traces(trace_id, "--store", str(path), "--json", "-")
    (row,) = json.loads(capsys.readouterr().out)["results"]
    (plan,) = row["plans"]
    assert plan["regions"] == ["asia", "eu", "us"]
    assert plan["rows"] == 3
    assert plan["full_scans"] == []
    assert plan["analyzed"] is True
    assert plan["remote_statements"] == 2
    assert names.DB_QUERY_TEXT in row["attributes"]
