"""Statements that must find their row by its key, whatever else is indexed."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import Update

from cockroach.embedded import EmbeddedCluster
from lab import profiles
from observability import names
from protos.shop.v1 import recommendations_pb2, recommendations_pb2_grpc
from services.orders import intake_statements, statements
from services.runtime.testing import environment, serving

_VALUES: dict[str, Any] = {
    "region": "eu",
    "order": "00000000-0000-4000-8000-000000000000",
    "id": "00000000-0000-4000-8000-000000000000",
    "new_state": "confirmed",
    "new_body": "{}",
    "reason": "",
    "expected": ["accepted"],
    "now": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        (statements.MOVE, "orders_pkey"),
        (intake_statements.SETTLE, "intake_pkey"),
    ],
)
def test_an_order_is_found_by_its_key(
    cluster: EmbeddedCluster, statement: Update, key: str
) -> None:
    """A look at the index on states would conflict with every order accepted."""
    compiled = statement.compile(dialect=PGDialect_psycopg())
    values = {
        **compiled.params,
        **{n: _VALUES[n] for n in compiled.params if n in _VALUES},
    }
    with psycopg.connect(cluster.admin_dsn("eu")) as session:
        # The table is small and the region's own; an index is asked for all the same.
        session.execute("set enable_seqscan = off")
        plan = session.execute(f"explain {compiled}", values).fetchall()

    used = [line.split(" using ")[1] for (line,) in plan if " using " in line]
    assert [one.split()[0] for one in used] == [key]


def plans_on(spans: InMemorySpanExporter) -> list[dict[str, Any]]:
    """List what events tell of plans on the spans of the list of what sells."""
    return [
        dict(event.attributes or {})
        for span in spans.get_finished_spans()
        if span.name == "SELECT products"
        for event in span.events
        if event.name == names.EVENT_SLOW_PLAN
    ]


@pytest.mark.parametrize("sample", [1, 0])
async def test_a_sampled_statement_of_a_service_has_its_plan(
    cluster: EmbeddedCluster, tmp_path: Path, spans: InMemorySpanExporter, sample: int
) -> None:
    """One in one is every statement, however fast; none in a sample of 0."""
    environ = environment(
        "recommendations",
        tmp_path,
        policies=profiles.values(profiles.cures_of("cured")),
        database=cluster.target("eu"),
        PLANS_AFTER_S="60",
        PLANS_SAMPLE=str(sample),
    )
    async with serving(environ) as running:
        shelf = recommendations_pb2_grpc.RecommendationsStub(running.channel)
        await shelf.Recommend(recommendations_pb2.RecommendRequest())
        async with asyncio.timeout(10):
            # The span is ended when its plan is here.
            while not any(  # noqa: ASYNC110 - the exporter tells nobody
                span.name == "SELECT products" for span in spans.get_finished_spans()
            ):
                await asyncio.sleep(0.01)

    found = plans_on(spans)
    assert [["eu"]] * sample == [list(one[names.PLAN_REGIONS]) for one in found]
    assert all("products" in one[names.DB_PLAN] for one in found)
