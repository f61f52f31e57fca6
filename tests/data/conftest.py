"""The databases that tests need: the embedded cluster, and one given by URL.

What is true of any database is tested on both: those tests are listed a second time,
marked `cockroach`, and run where COCKROACH_URL names a CockroachDB (or a PostgreSQL)
whose database may be filled. What is about the embedded cluster itself, its links and
its plans, is not.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cockroach import placing
from cockroach.embedded import EmbeddedCluster
from cockroach.topology import REGIONS, ZONES, DatabaseTarget, Replica
from links.process import LinksProcess
from tests import given
from tests.data.statement_list import Sent, recording

HERE = Path(__file__).parent
# A tenth of the real distances: long enough to measure, short enough to wait for.
RTT_SCALE = 0.1

# What holds on any database, by module.
PORTABLE = frozenset(
    {
        "test_chaos_books",
        "test_database_statements",
        "test_services_cart",
        "test_services_catalog",
        "test_services_inventory",
        "test_services_orders",
        "test_services_orders_crash",
        "test_services_orders_history",
        "test_services_payments",
        "test_services_recommendations",
        "test_services_storefront",
    }
)
# What only the embedded cluster has: links to hurt, a scale, addresses behind them.
EMBEDDED_ONLY = frozenset(
    {"dial", "home_cut_off", "home_slow", "replica", "rtt_scale", "wan_process"}
)

Session = psycopg.Connection[Any]


class GivenDatabase:
    """A database given by URL, as the tests use the embedded cluster.

    Every region has the embedded cluster's two gateways; where a region has one way in,
    both lead there.
    """

    def __init__(self, external: placing.External) -> None:
        self._external = external
        doors = [
            replace(
                external.target.in_region(region)[number % ways],
                name=f"{region}-{zone}",
                zone=zone,
            )
            for region in REGIONS
            for ways in [len(external.target.in_region(region))]
            for number, zone in enumerate(ZONES)
        ]
        self._target = replace(external.target, gateways=tuple(doors))

    def target(self, _client_region: str) -> DatabaseTarget:
        return self._target

    def admin_dsn(self, region: str) -> str:
        return self._external.admin()[region]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """List what is portable a second time, for the database given by URL."""
    wanted = set(metafunc.fixturenames)
    name = metafunc.module.__name__.rpartition(".")[2]
    if (
        "cluster" not in wanted
        or name not in PORTABLE
        or wanted & EMBEDDED_ONLY
        or metafunc.definition.get_closest_marker("embedded") is not None
    ):
        return
    other = pytest.param(
        "given",
        marks=[
            *given.MARKS,
            pytest.mark.timeout(300),
        ],
    )
    metafunc.parametrize("cluster", ["embedded", other], indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder as needing a database."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.data)


@pytest.fixture(scope="session", autouse=True)
def sent_statements() -> Iterator[Sent]:
    """Collect what the services send, and want all of it on the list.

    A statement that is not is told at the end; see `statement_list.py`.
    """
    with recording() as sent:
        yield sent

    assert [] == sent.unlisted()


@pytest.fixture(scope="session")
def wan_process() -> Iterator[LinksProcess]:
    """Carry the links of the session's cluster."""
    with LinksProcess() as process:
        yield process


@pytest.fixture(scope="session")
def rtt_scale() -> float:
    """Tell by how much the session's cluster shrinks the distances."""
    return RTT_SCALE


@pytest.fixture(scope="session")
def given_database() -> GivenDatabase:
    """Give the database that COCKROACH_URL names, filled."""
    return GivenDatabase(given.filled())


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Any:
    """Give the database of the test, by default the embedded cluster."""
    if getattr(request, "param", "embedded") == "given":
        return request.getfixturevalue("given_database")
    return request.getfixturevalue("embedded_cluster")


@pytest.fixture(scope="session")
def embedded_cluster(wan_process: LinksProcess) -> Iterator[EmbeddedCluster]:
    """Run the embedded cluster with its seed data."""
    # pytest's own directories are closed to the account that root steps down to.
    root = Path(tempfile.mkdtemp(prefix="seawall-test-"))
    made = EmbeddedCluster(root, links=wan_process.control, rtt_scale=RTT_SCALE)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def replica(embedded_cluster: EmbeddedCluster) -> Replica:
    """Keep a copy of eu's server in us, for the rest of the session."""
    return embedded_cluster.add_replica("eu", at="us")


@pytest.fixture
def touch_eu(embedded_cluster: EmbeddedCluster) -> Iterator[Callable[[], object]]:
    """Commit something in eu, so that its copy has something to replay."""
    with psycopg.connect(embedded_cluster.admin_dsn("eu"), autocommit=True) as home:
        yield lambda: home.execute(
            "update stock set available = available"
            " where crdb_region = 'eu' and product_id = 'P0008'"
        )


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Collect what databases made from now on say."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("cockroach.database.trace.get_tracer", provider.get_tracer)
    return exporter


@pytest.fixture
def dial() -> Iterator[Callable[..., Session]]:
    """Open sessions of the application: dial(cluster, "us", "eu-a")."""
    with contextlib.ExitStack() as stack:

        def open_one(
            cluster: EmbeddedCluster, client: str, gateway: str, **options: Any
        ) -> Session:
            target = cluster.target(client)
            one = next(g for g in target.gateways if g.name == gateway)
            values = {
                "host": one.host,
                "port": one.port,
                "dbname": target.dbname,
                "user": target.user,
                "password": target.password,
                "sslmode": "disable",
                "gssencmode": "disable",
                "autocommit": True,
            }
            session = psycopg.connect(**(values | options))
            # Not its context manager, which would commit what a test left open.
            stack.callback(session.close)
            return session

        yield open_one
