"""The embedded cluster, started once for all tests that need a database."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cockroach.embedded import EmbeddedCluster
from links.process import LinksProcess
from tests.data.statement_list import Sent, recording

HERE = Path(__file__).parent
# A tenth of the real distances: long enough to measure, short enough to wait for.
RTT_SCALE = 0.1

Session = psycopg.Connection[Any]


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
def cluster(wan_process: LinksProcess) -> Iterator[EmbeddedCluster]:
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
