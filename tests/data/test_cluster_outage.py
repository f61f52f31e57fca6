"""A region dies, a path is cut: who is told, who goes on, what is half done."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cockroach.embedded import EmbeddedCluster, WanProofError, proof
from cockroach.embedded.build import rewire, wait_for_standbys
from links.process import LinksProcess

Dial = Callable[..., psycopg.Connection[Any]]


@pytest.fixture(scope="module")
def links() -> Iterator[LinksProcess]:
    """Carry the links of a cluster that may be broken."""
    with LinksProcess() as process:
        yield process


@pytest.fixture(scope="module")
def broken(links: LinksProcess) -> Iterator[EmbeddedCluster]:
    """Run a cluster of our own, because these tests hurt it."""
    root = Path(tempfile.mkdtemp(prefix="seawall-test-"))
    with EmbeddedCluster(root, links=links.control, rtt_scale=0.1) as made:
        yield made
    shutil.rmtree(root, ignore_errors=True)


def _stock(cluster: EmbeddedCluster, region: str) -> int:
    with psycopg.connect(cluster.admin_dsn(region)) as session:
        row = session.execute(
            f"select available from stock_{region} where product_id = 'P0300'"
            " and shard = 0"
        ).fetchone()
    assert row is not None
    return int(row[0])


def _take(session: psycopg.Connection[Any], *regions: str) -> None:
    for region in regions:
        session.execute(
            "update stock set available = available - 1"
            " where crdb_region = %s and product_id = 'P0300' and shard = 0",
            (region,),
        )


def test_clients_of_a_killed_server_are_told_at_once(
    broken: EmbeddedCluster, dial: Dial
) -> None:
    """Nobody hangs: not the client of the dead server, not a foreign statement."""
    ended: dict[str, float] = {}

    def wait(name: str, session: psycopg.Connection[Any], statement: str) -> None:
        with pytest.raises(psycopg.OperationalError):
            session.execute(statement)
        ended[name] = time.monotonic()

    at_home = dial(broken, "asia", "eu-a")
    abroad = dial(broken, "us", "us-a", autocommit=False)
    abroad.execute("select available from stock where crdb_region = 'eu' limit 1")
    holder = dial(broken, "eu", "eu-a", autocommit=False)
    _take(holder, "eu")
    blocked = (
        "update stock set available = available"
        " where crdb_region = 'eu' and product_id = 'P0300'"
    )
    waiting = [
        threading.Thread(target=wait, args=("home", at_home, "select pg_sleep(10)")),
        threading.Thread(target=wait, args=("abroad", abroad, blocked)),
    ]
    for thread in waiting:
        thread.start()
    _until(lambda: _busy(broken, "eu") >= 2)
    killed = time.monotonic()
    broken.kill_region("eu")
    for thread in waiting:
        thread.join(5)

    assert sorted(ended) == ["abroad", "home"]
    assert max(ended.values()) - killed < 1.0
    # The others go on with their own rows.
    other = dial(broken, "us", "us-b")
    _take(other, "us", "asia")
    with pytest.raises(psycopg.OperationalError):
        _take(other, "eu")
    assert "eu" not in broken.pids()
    measured = broken.measured_rtts()
    assert "sql-us-to-asia-a" in measured
    assert "sql-us-to-eu-a" not in measured

    broken.restart_region("eu")

    _take(other, "eu")
    wait_for_standbys(broken._sites["us"])
    assert proof.global_write_ms(broken._sites["us"]) >= 16 * 0.97


def _busy(cluster: EmbeddedCluster, region: str) -> int:
    with psycopg.connect(cluster.admin_dsn(region)) as session:
        row = session.execute(
            "select count(*) from pg_stat_activity"
            " where usename = 'app' and state = 'active'"
        ).fetchone()
    return int(row[0]) if row else 0


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_path_cut_before_commit_leaves_nothing_half_done(
    broken: EmbeddedCluster, dial: Dial, links: LinksProcess
) -> None:
    """One foreign region and the local one: the cut undoes both."""
    before = {r: _stock(broken, r) for r in ("us", "eu")}
    session = dial(broken, "us", "us-a", autocommit=False)
    _take(session, "us", "eu")
    links.control.disable("fdw-us-to-eu")
    with pytest.raises(psycopg.Error):
        session.commit()
    links.control.enable("fdw-us-to-eu")

    assert {r: _stock(broken, r) for r in ("us", "eu")} == before


def test_a_commit_cut_between_two_regions_is_not_atomic(
    broken: EmbeddedCluster, dial: Dial, links: LinksProcess
) -> None:
    """Why a transaction writes one region: of two homes, one may keep its part.

    CockroachDB would commit both or neither. Here the caller is told of a failure,
    and the region whose path was whole may have committed all the same.
    """
    before = {r: _stock(broken, r) for r in ("us", "eu", "asia")}
    session = dial(broken, "us", "us-a", autocommit=False)
    _take(session, "us", "eu", "asia")
    links.control.disable("fdw-us-to-asia")
    with pytest.raises(psycopg.Error):
        session.commit()
    links.control.enable("fdw-us-to-asia")

    after = {r: _stock(broken, r) for r in ("us", "eu", "asia")}
    assert (after["us"], after["asia"]) == (before["us"], before["asia"])
    assert before["eu"] - after["eu"] in {0, 1}


def test_a_serialization_failure_at_home_may_leave_the_other_region_written(
    broken: EmbeddedCluster, dial: Dial
) -> None:
    """The far commit comes first: 40001 at the local one cannot take it back."""
    before = {r: _stock(broken, r) for r in ("us", "eu")}
    first = dial(broken, "us", "us-a", autocommit=False)
    second = dial(broken, "us", "us-b", autocommit=False)
    read = (
        "select available from stock where crdb_region = 'us'"
        " and product_id in ('P0301', 'P0302') and shard = 0"
    )
    write = (
        "update stock set available = available - 1"
        " where crdb_region = 'us' and product_id = %s and shard = 0"
    )
    # Write skew: each reads what the other writes.
    for session in (first, second):
        session.execute(read)
    first.execute(write, ("P0301",))
    _take(first, "eu")
    second.execute(write, ("P0302",))
    second.commit()
    with pytest.raises(psycopg.errors.SerializationFailure):
        first.commit()

    after = {r: _stock(broken, r) for r in ("us", "eu")}
    assert after == {"us": before["us"], "eu": before["eu"] - 1}


def test_a_stream_that_skips_the_distance_fails_the_proof(
    broken: EmbeddedCluster,
) -> None:
    """Replication past the WAN makes GLOBAL writes look free: the proof says so."""
    sites, wan = broken._sites, broken._wan
    assert wan is not None
    for region in ("eu", "asia"):
        with sites[region].connect() as session:
            session.execute(
                f"alter subscription glob_{region} connection"
                f" 'host=127.0.0.1 port={sites['us'].server.port} dbname=shop"
                f" user=replicator password={sites['us'].secrets.replication}'"
            )
    # A busy machine may lend the shortened path the milliseconds that it lacks.
    _until(lambda: "global-write" in _complaint(broken))
    for region in ("eu", "asia"):
        rewire(sites[region], wan)
    _until(lambda: not _complaint(broken))
    wait_for_standbys(sites["us"])

    assert proof.prove(sites, wan, rtt_scale=0.1)["global-write"] >= 16 * 0.97


def _complaint(cluster: EmbeddedCluster) -> str:
    assert cluster._wan is not None
    try:
        proof.prove(cluster._sites, cluster._wan, rtt_scale=0.1)
    except WanProofError as error:
        return str(error)
    return ""
