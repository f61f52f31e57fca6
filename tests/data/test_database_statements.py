"""The data layer on the real cluster: what each policy sends, and where."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from sqlalchemy import bindparam, insert, select, text, update

from cockroach import ids
from cockroach.database import Database, DataPolicy
from cockroach.embedded import EmbeddedCluster
from cockroach.errors import ConstraintError, PoolExhaustedError, StatementError
from cockroach.metrics import METRIC_CONNECTIONS, METRIC_EXHAUSTED, PoolCollector
from cockroach.schema.tables import customers, products, stock
from links.process import LinksProcess
from observability import names
from resilience.testing import RecordingListener

CURED: dict[str, Any] = {
    "gateway_choice": "home_region",
    "single_statements": "autocommit",
    "pool_size": 2,
    "pool_overflow": 0,
    "pool_timeout_s": 2.0,
    "warm": True,
    "transaction_attempts": 10,
    "breaker": True,
}
SICK: dict[str, Any] = CURED | {
    "gateway_choice": "round_robin_all",
    "single_statements": "transaction",
    "pool_overflow": 1,
    "warm": False,
    "breaker": False,
}
CUSTOMER = select(customers).where(
    customers.c.crdb_region == bindparam("region"), customers.c.id == bindparam("id")
)

Make = Callable[..., Database]


def who(region: str, n: int = 1) -> dict[str, Any]:
    return {"region": region, "id": ids.customer_id(region, n).uuid}


@pytest.fixture
async def database(
    cluster: EmbeddedCluster, spans: InMemorySpanExporter
) -> AsyncIterator[Make]:
    made: list[Database] = []

    def make(region: str = "eu", /, **values: Any) -> Database:
        policy = DataPolicy(**(CURED | values))
        one = Database(
            cluster.target(region),
            region=region,
            application="test",
            policy=lambda: policy,
            listener=RecordingListener(),
        )
        made.append(one)
        return one

    yield make
    for one in made:
        await one.close()


def wan_trips(wan: LinksProcess) -> int:
    return sum(
        one.trips
        for name, one in wan.control.stats().items()
        if name.startswith(("sql-", "fdw-")) and not _local(name)
    )


def _local(name: str) -> bool:
    _, client, _, rest = name.split("-", 3)
    return name.startswith("sql-") and rest.startswith(client)


def told(spans: InMemorySpanExporter) -> list[str]:
    return [one.name for one in spans.get_finished_spans()]


async def test_an_autocommit_statement_is_one_span(database, spans) -> None:
    """One statement is sent as one statement; connecting is none."""
    one = database()
    await one.start()
    assert set(told(spans)) == {names.SPAN_CONNECT}
    spans.clear()
    rows = await one.fetch("eu", CUSTOMER, who("eu"))

    assert [row.crdb_region for row in rows] == ["eu"]
    assert told(spans) == ["SELECT customers"]


async def test_begin_and_commit_have_their_own_spans(database, spans) -> None:
    """The library's default wraps each statement, and each wrapping is a round trip."""
    one = database(**SICK)
    await one.fetch("eu", CUSTOMER, who("eu"))

    waits = {names.SPAN_POOL_ACQUIRE, names.SPAN_CONNECT}
    sent = [name for name in told(spans) if name not in waits]
    assert sent == ["BEGIN", "SELECT customers", "COMMIT"]


async def test_the_span_says_what_and_where_but_no_values(
    cluster, database, spans
) -> None:
    """Statement, gateway, region and decision are attributes; parameters are not."""
    one = database()
    await one.fetch("eu", CUSTOMER, who("eu", 7))
    (span,) = (one for one in spans.get_finished_spans() if one.name[0] == "S")
    attributes = dict(span.attributes or {})

    crdb = cluster.target("eu").flavour == "cockroach"
    assert attributes[names.DB_SYSTEM] == ("cockroachdb" if crdb else "postgresql")
    assert attributes[names.DB_COLLECTION] == "customers"
    assert attributes[names.HOME_REGION] == attributes[names.GATEWAY_REGION] == "eu"
    assert attributes[names.BALANCER_CANDIDATES] == "eu-a,eu-b"
    assert names.DB_KEY in attributes
    assert str(who("eu", 7)["id"]) not in str(attributes)


async def test_round_robin_goes_to_every_gateway(database, spans) -> None:
    """Sick statements visit all six gateways evenly, five of six pay the distance."""
    one = database("us", **(SICK | {"single_statements": "autocommit"}))
    for _ in range(12):
        await one.fetch("us", CUSTOMER, who("us"))
    gateways = Counter(
        (span.attributes or {})[names.GATEWAY_NAME]
        for span in spans.get_finished_spans()
        if span.name == "SELECT customers"
    )

    assert set(gateways.values()) == {2}
    assert len(gateways) == 6


async def test_a_cured_read_crosses_no_ocean(database, wan_process) -> None:
    """Reads at home and of GLOBAL tables pay no round trip between regions."""
    one = database()
    await one.start()
    before = wan_trips(wan_process)
    for n in range(1, 6):
        await one.fetch("eu", CUSTOMER, who("eu", n))
        await one.fetch("eu", select(products).limit(5))

    assert wan_trips(wan_process) == before


async def test_a_wrong_gateway_pays(database, wan_process) -> None:
    """The same read through round-robin pays round trips between regions."""
    one = database("us", **SICK)
    before = wan_trips(wan_process)
    for _ in range(6):
        await one.fetch("eu", CUSTOMER, who("eu"))

    assert wan_trips(wan_process) - before >= 6


async def test_row_counts_of_writes(database) -> None:
    """UPDATE and INSERT .. ON CONFLICT DO NOTHING tell how many rows they touched."""
    one = database()
    changed = await one.execute(
        "eu",
        update(customers)
        .where(customers.c.crdb_region == "eu", customers.c.id == who("eu", 9)["id"])
        .values(country="DE"),
    )
    again = await one.execute(
        "eu",
        text(
            "INSERT INTO stock (crdb_region, product_id, available) "
            "VALUES ('eu', 'P0001', 5) ON CONFLICT DO NOTHING"
        ),
    )

    assert (changed.rowcount, again.rowcount) == (1, 0)


async def test_a_constraint_is_named_without_its_values(database) -> None:
    """A duplicate is a ConstraintError with the constraint's name."""
    one = database()
    row = {"crdb_region": "eu", "product_id": "P0001", "available": 1}
    with pytest.raises(ConstraintError) as said:
        await one.execute("eu", insert(stock).values(row))

    assert said.value.sqlstate == "23505"
    assert said.value.constraint
    assert "P0001" not in str(said.value)


async def test_a_wrong_statement_leaves_the_connection_usable(database) -> None:
    """After an error the same connection serves the next caller."""
    one = database(pool_size=1)
    await one.start()
    with pytest.raises(StatementError):
        await one.fetch("eu", text("SELECT nothing_of_ours"))
    with pytest.raises(StatementError):
        await one.fetch("eu", CUSTOMER)  # parameters forgotten
    await one.fetch("eu", CUSTOMER, who("eu"))
    await one.fetch("eu", CUSTOMER, who("eu"))

    assert [(p.opened, p.discarded) for p in one.pool_stats()] == [(1, 0), (1, 0)]


async def test_exhaustion_is_bounded_and_says_so(database, spans) -> None:
    """With every connection busy a caller waits its bound, and the wait is a span."""
    one = database(pool_size=1, pool_timeout_s=0.1, breaker=False)
    await one.start()
    busy = [
        asyncio.create_task(one.fetch("eu", text("SELECT pg_sleep(0.5)")))
        for _ in range(2)
    ]
    await asyncio.sleep(0.05)
    with pytest.raises(PoolExhaustedError):
        await one.fetch("eu", CUSTOMER, who("eu"))
    await asyncio.gather(*busy)

    waits = [
        (span.attributes or {})[names.POOL_WAIT_MS]
        for span in spans.get_finished_spans()
        if span.name == names.SPAN_POOL_ACQUIRE
    ]
    assert max(waits) >= 100
    assert sum(p.exhausted for p in one.pool_stats()) == 1


async def test_a_new_policy_takes_effect_with_the_next_statement(
    cluster, spans
) -> None:
    """Sick becomes cured while statements run; none of them fails, nothing leaks."""
    now = DataPolicy(**(SICK | {"pool_size": 1, "single_statements": "autocommit"}))
    one = Database(
        cluster.target("eu"), region="eu", application="test", policy=lambda: now
    )
    running = [
        asyncio.create_task(one.fetch("eu", text("SELECT pg_sleep(0.2)")))
        for _ in range(8)
    ]
    await asyncio.sleep(0.05)
    now = DataPolicy(**CURED)
    await one.fetch("eu", CUSTOMER, who("eu"))
    await asyncio.gather(*running)

    assert {p.gateway for p in one.pool_stats()} == {"eu-a", "eu-b"}
    async with asyncio.timeout(5):
        while not all(pool.empty for pool in one._fleet._retired):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await one.close()


async def test_pool_figures_are_scraped(database) -> None:
    """Prometheus sees connections by gateway and state, and the limits."""
    one = database()
    await one.start()
    registry = CollectorRegistry()
    registry.register(PoolCollector(one))
    labels = {"gateway": "eu-a", "gateway_region": "eu"}

    assert (
        registry.get_sample_value(METRIC_CONNECTIONS, labels | {"state": "idle"}) == 2
    )
    assert registry.get_sample_value(f"{METRIC_EXHAUSTED}_total", labels) == 0


async def test_warm_pools_are_ready_before_the_first_statement(database) -> None:
    """A warm start opens what is kept, and no statement opens more."""
    one = database()
    await one.start()
    opened = [p.opened for p in one.pool_stats()]
    await one.fetch("eu", CUSTOMER, who("eu"))

    assert opened == [2, 2] == [p.opened for p in one.pool_stats()]
