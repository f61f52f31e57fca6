"""Slow statements carry their plan; nobody waits for it and no value is in it."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy import bindparam, select, update

from cockroach import ids
from cockroach.schema.tables import customers
from observability import names

CUSTOMER = select(customers.c.name).where(
    customers.c.crdb_region == bindparam("region"), customers.c.id == bindparam("id")
)
LINKS = ("sql-eu-to-eu-a", "sql-eu-to-eu-b")
ME = {"region": "eu", "id": ids.customer_id("eu", 3).uuid}


def ended(spans: Any, home: str = "eu") -> list[ReadableSpan]:
    return [
        span
        for span in spans.get_finished_spans()
        if (span.attributes or {}).get(names.HOME_REGION) == home
        and span.name != names.SPAN_POOL_ACQUIRE
        and not (span.attributes or {}).get(names.DB_PROBE)
    ]


def plan(span: ReadableSpan) -> str:
    texts = [
        str((event.attributes or {})[names.DB_PLAN])
        for event in span.events
        if event.name == names.EVENT_SLOW_PLAN
    ]
    return texts[0] if len(texts) == 1 else ""


async def test_a_slow_statement_at_the_wrong_gateway_shows_the_trip(
    database, spans, until
) -> None:
    """The plan tells a foreign scan from a local one, and no value."""
    one = database("us", plan_after_s=0.0, gateway_choice="round_robin_all", warm=False)
    # Often enough to come to a gateway that was asked before, plan known by then.
    for _ in range(12):
        await one.fetch("eu", CUSTOMER, ME)
    await until(lambda: len(ended(spans)) == 12)
    told = [(span.attributes or {}, plan(span)) for span in ended(spans)]
    assert all(text for _, text in told)
    for attributes, text in told:
        local = attributes[names.GATEWAY_REGION] == "eu"
        assert ("Foreign Scan" in text) is not local, text
        assert str(ME["id"]) not in text
        assert "= ?" in text


async def test_the_span_ends_when_the_statement_did(database, spans, until) -> None:
    """Asking for the plan adds nothing to the time of the statement."""
    one = database(plan_after_s=0.0)
    await one.start()
    await one.fetch("eu", CUSTOMER, ME)
    await until(lambda: bool(ended(spans)))
    (span,) = ended(spans)
    (event,) = [e for e in span.events if e.name == names.EVENT_SLOW_PLAN]
    assert event.timestamp == span.end_time
    explained = [
        s for s in spans.get_finished_spans() if s.name == "EXPLAIN SELECT customers"
    ]
    assert len(explained) == 1
    assert explained[0].parent is None
    assert explained[0].start_time >= span.end_time


async def test_writes_and_transactions_are_explained_and_not_run(
    database, spans, until
) -> None:
    """A write is explained without its values; BEGIN has no plan."""
    one = database(plan_after_s=0.0)
    await one.start()
    customer = ids.customer_id("eu", 4).uuid
    name = "a name that stays in the database"
    change = (
        update(customers)
        .where(customers.c.crdb_region == "eu", customers.c.id == customer)
        .values(name=name)
    )

    async def work(transaction: Any) -> None:
        await transaction.execute(change)

    await one.transaction("eu", work)
    await until(lambda: any(span.name == "COMMIT" for span in ended(spans)))
    await until(lambda: any(plan(span) for span in ended(spans)))
    by_name = {span.name: plan(span) for span in ended(spans)}
    assert "Update on" in by_name["UPDATE customers"]
    assert name not in by_name["UPDATE customers"]
    assert not by_name["BEGIN"]
    assert not by_name["COMMIT"]


async def test_no_idle_connection_no_plan_and_no_harm(database, spans, until) -> None:
    """Callers come first: the plan is asked for only where nobody waits."""
    one = database(plan_after_s=0.0, pool_size=1)
    await one.start()

    async def work(transaction: Any) -> None:
        await transaction.fetch(CUSTOMER, ME)
        await until(lambda: any(s.name == "SELECT customers" for s in ended(spans)))

    await one.transaction("eu", work)
    (span,) = [s for s in ended(spans) if s.name == "SELECT customers"]
    assert not span.events


async def test_fast_statements_have_none(database, spans) -> None:
    """Nobody asks for the plan of what was fast."""
    one = database(plan_after_s=10.0)
    await one.fetch("eu", CUSTOMER, ME)
    assert [plan(span) for span in ended(spans)] == [""]
    assert not [s for s in spans.get_finished_spans() if s.name.startswith("EXPLAIN")]


async def test_a_gateway_that_does_not_answer_leaves_no_plan_and_no_noise(
    database, spans, until, caplog, wan_process
) -> None:
    """Asking has an end of its own, and what it cannot find out is no error."""
    one = database(plan_after_s=1.0)
    await one.start()
    for link in LINKS:
        wan_process.control.toxic_add(link, "latency", attributes={"latency": 1800})
    try:
        await one.fetch("eu", CUSTOMER, ME)
        await until(lambda: bool(ended(spans)))
    finally:
        for link in LINKS:
            wan_process.control.toxic_remove(link, "latency_downstream")
    (span,) = ended(spans)
    assert not span.events
    assert not caplog.records
    assert sum(pool.busy for pool in one.pool_stats()) == 0


async def test_closing_does_not_wait_for_a_plan(
    database, spans, wan_process, until
) -> None:
    """A process that leaves while it asks leaves at once, and loses no span."""
    one = database(plan_after_s=0.3)
    await one.start()
    for link in LINKS:
        wan_process.control.toxic_add(link, "latency", attributes={"latency": 700})
    try:
        await one.fetch("eu", CUSTOMER, ME)
        await until(lambda: any(pool.busy for pool in one.pool_stats()))
        task = one._plans._task
        await one.close()
        assert task is not None
        assert task.cancelled()
    finally:
        for link in LINKS:
            wan_process.control.toxic_remove(link, "latency_downstream")
    assert len(ended(spans)) == 1
