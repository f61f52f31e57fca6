"""`seawall up --database`: the lab's services on a PostgreSQL of the user's own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from chaos.invariants import Books
from cockroach import migrations
from lab.health import channel
from protos.shop.v1 import common_pb2, storefront_pb2, storefront_pb2_grpc

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "hunter22-plain"

Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def seawall(folder: Path) -> Run:
    def run(*arguments: str, timeout: float = 60, **environ: str) -> Any:
        known = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return subprocess.run(
            [sys.executable, "-m", "lab.cli", *arguments],
            env={**known, "SEAWALL_LAB": str(folder / "lab.json"), **environ},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=ROOT,
        )

    return run


@pytest.fixture(scope="module")
def url(plain_server: int) -> str:
    """The database that the module's lab runs on."""
    dsn = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{plain_server}"
    with psycopg.connect(f"{dsn}/postgres", autocommit=True) as connection:
        connection.execute("drop database if exists market with (force)")
        connection.execute("create database market")
    return f"{dsn}/market"


@pytest.fixture(scope="module")
def lab(seawall: Run, folder: Path, url: str) -> Iterator[dict[str, Any]]:
    started = seawall(
        *("up", "--detach", "--port-base", "0", "--migrate", "--database", url)
    )
    assert 0 == started.returncode, started.stdout + started.stderr
    yield json.loads((folder / "lab.json").read_text())
    stopped = seawall("down")
    assert 0 == stopped.returncode, stopped.stdout + stopped.stderr


def _refused(done: subprocess.CompletedProcess[str]) -> str:
    assert 2 == done.returncode, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stderr


def test_an_empty_database_is_left_empty_unless_told(
    seawall: Run, plain_url: Callable[[str], str]
) -> None:
    """Without --migrate an empty database is refused, named, and stays empty."""
    url = plain_url("untouched")
    told = _refused(seawall("up", "--port-base", "0", "--database", url, timeout=30))

    assert "no shop in database untouched" in told
    assert "--migrate" in told
    with psycopg.connect(url) as connection:
        assert (0,) == connection.execute(
            "select count(*) from information_schema.tables "
            "where table_schema = 'public'"
        ).fetchone()


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("create table theirs (id int)", "other tables"),
        (
            "create table alembic_version as select '9999' as version_num",
            "revision 9999",
        ),
    ],
)
def test_what_others_made_is_left_alone(
    seawall: Run, plain_url: Callable[[str], str], made: str, told: str
) -> None:
    """Tables of others and a newer shop are refused even with --migrate."""
    url = plain_url("others")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(made)

    assert told in _refused(
        seawall(*("up", "--port-base", "0", "--migrate", "--database", url), timeout=30)
    )


def test_an_older_shop_is_refused_and_said_so(
    seawall: Run, plain_url: Callable[[str], str]
) -> None:
    """An older revision is named beside this program's, with the cure."""
    url = plain_url("older")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "create table alembic_version as select '0000' as version_num"
        )
    told = _refused(seawall("up", "--port-base", "0", "--database", url, timeout=30))

    assert "revision 0000, older" in told
    assert migrations.head() in told


def test_copies_of_its_servers_are_not_ours_to_make(
    seawall: Run, plain_url: Callable[[str], str]
) -> None:
    """--replicas on a PostgreSQL of the user's is refused before anything is done."""
    url = plain_url("copied")
    options = ("--port-base", "0", "--replicas", "--migrate", "--database", url)
    told = _refused(seawall("up", *options, timeout=30))

    assert "--replicas copies the servers of the embedded database" in told
    with psycopg.connect(url) as connection:
        assert (None,) == connection.execute(
            "select to_regclass('alembic_version')"
        ).fetchone()


def test_no_server_is_one_sentence(seawall: Run) -> None:
    """Nobody there: exit 2 and no traceback; options that clash are usage errors."""
    nowhere = f"postgresql://shop:{PASSWORD}@127.0.0.1:1/shop"

    assert "cannot connect" in _refused(seawall("up", "--database", nowhere))
    assert "--fresh" in _refused(seawall("up", "--fresh", "--database", nowhere))
    assert "--migrate" in _refused(seawall("up", "--migrate"))


def test_a_checkout_is_taken(lab: dict[str, Any], url: str) -> None:
    """An order through the storefront of another region is in the user's database."""
    address = next(
        one["address"]
        for one in lab["services"]
        if one["instance"] == "storefront-us-a"
    )
    request = storefront_pb2.CheckoutRequest(
        customer_id="eu-00000000-0000-4000-8000-000000000044",
        items=[common_pb2.LineItem(product_id="P0002", quantity=1)],
        card_token="tok_visa",
        idempotency_key="external-1",
    )
    with channel(address, None) as ours:
        order = storefront_pb2_grpc.StorefrontStub(ours).Checkout(request, timeout=10)

    region, _, number = order.order.order_id.partition("-")
    with psycopg.connect(url) as connection:
        assert ("confirmed",) == connection.execute(
            "select state from orders where crdb_region = %s and id = %s",
            (region, number),
        ).fetchone()


def test_the_lab_tells_where_its_database_is(lab: dict[str, Any], seawall: Run) -> None:
    """The document's database part serves the invariants, and status is well."""
    assert "postgres" == lab["database"]["flavour"]
    assert 0 == Books(lab["database"]["admin"]).stuck(0.0)
    assert len(Books(lab["database"]["admin"]).stock()) == 3

    done = seawall("status")
    assert 0 == done.returncode, done.stdout + done.stderr


def test_its_parts_are_told(lab: dict[str, Any], url: str, seawall: Run) -> None:
    """Of the lab's database and of its URL alike: one undivided part, with its rows."""
    assert lab
    of_lab = seawall("cockroach", "ranges", "orders", "--json", "-")
    of_url = seawall("cockroach", "ranges", "orders", "--json", "-", "--url", url)
    unknown = seawall("cockroach", "ranges", "nosuch")
    with psycopg.connect(url) as connection:
        rows = connection.execute("select count(*) from orders").fetchone()

    assert (0, 0) == (of_lab.returncode, of_url.returncode), of_lab.stderr
    told = json.loads(of_lab.stdout)
    (part,) = told["results"]
    assert rows is not None
    assert "postgresql" == told["engine"]
    assert ("orders", "owner") == (part["name"], part["role"])
    assert 0 < part["rows"] <= rows[0] + 50
    assert [part["name"]] == [
        one["name"] for one in json.loads(of_url.stdout)["results"]
    ]
    assert "unknown table" in _refused(unknown)


def test_the_server_is_not_crowded(lab: dict[str, Any], url: str) -> None:
    """All the services together fit into the connections that a server has unasked."""
    assert lab
    with psycopg.connect(url) as connection:
        count = connection.execute(
            "select count(*) from pg_stat_activity where datname = 'market'"
        ).fetchone()

    assert count is not None
    assert 10 < count[0] < 90


def test_the_password_is_where_only_its_owner_looks(
    lab: dict[str, Any], folder: Path, seawall: Run
) -> None:
    """No process has it in its arguments, no log line, no file that others may read."""
    assert 0 == seawall("logs", "--limit", "50").returncode
    family = psutil.Process(lab["pid"])
    for one in (family, *family.children(recursive=True)):
        assert PASSWORD not in " ".join(one.cmdline())
    holding = [
        path
        for path in folder.rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]
    assert {"lab.json", "database-us.json"} <= {path.name for path in holding}
    for path in holding:
        assert 0o600 == stat.S_IMODE(path.stat().st_mode), path


def test_faults_on_links_that_are_not_there_are_refused(
    lab: dict[str, Any], seawall: Run
) -> None:
    """An experiment that hurts the database's links says why it cannot here."""
    assert lab
    done = seawall("chaos", "run", "slow-database", "--profile", "cured")

    assert done.returncode in {2, 3}, done.stdout + done.stderr
    assert "database given by URL" in done.stdout + done.stderr
