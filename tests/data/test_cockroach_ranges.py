"""`seawall cockroach ranges` on the embedded cluster: owners, sizes, the hot part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cockroach import ranges
from cockroach.embedded import EmbeddedCluster
from cockroach.topology import REGIONS
from lab import state

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(cluster: EmbeddedCluster, tmp_path: Path) -> Iterator[Path]:
    """Publish the session's cluster as a running lab does."""
    for region in REGIONS:
        told = cluster.target(region).to_json()
        (tmp_path / f"database-{region}.json").write_text(told)
    with state.owned(tmp_path):
        state.write(tmp_path, {"state_dir": str(tmp_path)})
        yield tmp_path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if k != "SEAWALL_DATABASE"}
        return subprocess.run(
            [sys.executable, "-m", "lab.cli", "cockroach", "ranges", *words],
            cwd=ROOT,
            env={**inherited, "SEAWALL_LAB": str(tmp_path / "lab.json"), **environ},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return call


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout.startswith("{"), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_each_region_owns_its_partition(folder: Path, run: Run) -> None:
    """Three owners, their rows and sizes, as each server counts its own."""
    done = run("orders", "--json", "-")
    assert done.returncode == 0, done.stderr
    found = {one["region"]: one for one in told(done)["results"]}
    assert set(found) == set(REGIONS)
    for region, one in found.items():
        assert one["name"] == f"orders_{region}"
        assert one["role"] == "owner"
        assert one["rows"] >= 2000
        assert one["size_bytes"] > 100_000
    assert told(done)["by_region"]["eu"]["parts"] == 1
    assert "orders_asia" in done.stderr


def test_a_global_table_has_an_owner_and_replicas(folder: Path, run: Run) -> None:
    """Written in one region, read in all."""
    done = run("products", "--json", "-")
    roles = {one["region"]: one["role"] for one in told(done)["results"]}
    assert roles == {"us": "owner", "eu": "replica", "asia": "replica"}


@pytest.mark.parametrize("table", ["nosuch", "orders; DROP TABLE orders", "Orders"])
def test_an_unknown_table_is_refused_with_the_list(
    folder: Path, run: Run, table: str
) -> None:
    """Exit 2, and the names there are."""
    done = run(table)
    assert done.returncode == 2
    assert "unknown table" in done.stderr
    assert "contract_prices, customers" in done.stderr


def test_without_a_lab_and_a_url_there_is_nothing_to_ask(run: Run) -> None:
    """Exit 2, and how a lab is started."""
    done = run("orders")
    assert done.returncode == 2
    assert "seawall up" in done.stderr


def test_a_region_that_does_not_answer_is_missing_and_said_so(
    folder: Path, run: Run, cluster: EmbeddedCluster
) -> None:
    """What is left is shown, and the whole is invalid: exit 3."""
    target = cluster.target("asia")
    gone = tuple(replace(one, port=1) for one in target.gateways)
    path = folder / "database-asia.json"
    path.write_text(replace(target, gateways=gone).to_json())
    done = run("orders", "--json", "-")
    assert done.returncode == 3
    assert {one["region"] for one in told(done)["results"]} == {"us", "eu"}
    assert told(done)["valid"] is False
    assert told(done)["invalid_reasons"][0].startswith("asia: ")


def _url(
    cluster: EmbeddedCluster, scheme: str = "postgresql", password: str = ""
) -> str:
    target = cluster.target("eu")
    one = target.in_region("eu")[0]
    login = target.user + (f":{password}" if password else "")
    return f"{scheme}://{login}@{one.host}:{one.port}/{target.dbname}"


def test_any_postgresql_is_asked_by_url(run: Run, cluster: EmbeddedCluster) -> None:
    """One server tells its own partition, and whose the foreign ones are."""
    password = cluster.target("eu").password
    url = _url(cluster, "postgresql+psycopg")
    done = run("orders", "--json", "-", SEAWALL_DATABASE=url, PGPASSWORD=password)
    assert done.returncode == 0, done.stderr
    roles = {one["region"]: one["role"] for one in told(done)["results"]}
    assert roles == {"eu": "owner", "us": "foreign", "asia": "foreign"}
    done = run("nosuch", "--url", url, PGPASSWORD=password)
    assert done.returncode == 2
    assert "customers" in done.stderr


@pytest.mark.parametrize(
    "broken", ["{}", "{}&nosuch=1", "{}?connect_timeout=secret", "mysql://a:secret@b/c"]
)
def test_a_url_that_fails_is_not_quoted(
    run: Run, cluster: EmbeddedCluster, broken: str
) -> None:
    """Exit 2; the password is in no message."""
    for password in ("secret", "pass@secret"):
        done = run("orders", "--url", broken.format(_url(cluster, password=password)))
        assert done.returncode == 2
        assert "secret" not in done.stderr + done.stdout


def test_the_hot_partition_is_seen(cluster: EmbeddedCluster, dial: Any) -> None:
    """Fifteen hundred reads of one region's rows make that partition the hot one."""

    def look() -> list[ranges.Range]:
        return [
            one
            for region in REGIONS
            for one in ranges.partitions(
                dial(cluster, region, f"{region}-a"), "stock", region=region
            )
            if one.role == "owner"
        ]

    before = look()
    session = dial(cluster, "eu", "eu-a")
    for _ in range(1500):
        session.execute(
            "SELECT available FROM stock WHERE crdb_region = 'eu' AND product_id = 'P1'"
        )
    # A session reports what it did when it ends.
    session.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        found = ranges.with_hot(ranges.since(before, look()))
        if any(one.hot for one in found):
            break
    assert [one.region for one in found if one.hot] == ["eu"]
