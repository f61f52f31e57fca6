"""The command that brings a database of the user's own to the shop's schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cockroach import migrations
from cockroach.migrations import __main__ as command
from cockroach.migrations.__main__ import main
from cockroach.schema.postgres import PostgresLayout
from cockroach.topology import DatabaseTarget, Gateway


@pytest.fixture
def target(cluster: Any, tmp_path: Path) -> Path:
    """A plain, empty PostgreSQL database beside the shop's."""
    admin = cluster.admin_dsn("us")
    parts = conninfo_to_dict(admin)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("drop database if exists plain")
        connection.execute("create database plain")
    described = DatabaseTarget(
        flavour="postgres",
        dbname="plain",
        user=str(parts["user"]),
        password=str(parts.get("password", "")),
        gateways=(
            Gateway(
                name="us-a",
                region="us",
                zone="a",
                host=str(parts["host"]),
                port=int(str(parts["port"])),
            ),
        ),
    )
    path = tmp_path / "database.json"
    path.write_text(described.to_json())
    return path


def test_a_plain_database_gets_the_schema_and_the_seed_once(
    target: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Migrating and seeding twice gives the same shop as once."""
    assert 0 == main(["--target", str(target), "--seed", "7"])
    assert 0 == main(["--target", str(target), "--seed", "7"])

    with psycopg.connect(
        make_conninfo(cluster.admin_dsn("us"), dbname="plain")
    ) as connection:
        products = connection.execute("select count(*) from products").fetchone()
        customers = connection.execute(
            "select crdb_region, count(*) from customers group by 1 order by 1"
        ).fetchall()
    assert (500,) == products
    assert [("asia", 300), ("eu", 300), ("us", 300)] == customers
    assert "is at revision" in capsys.readouterr().out


def test_a_database_that_is_not_there_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No server: exit code 2 and a message, no traceback."""
    path = tmp_path / "database.json"
    gateway = Gateway(name="us-a", region="us", zone="a", host="127.0.0.1", port=1)
    path.write_text(
        DatabaseTarget(
            flavour="postgres",
            dbname="shop",
            user="nobody",
            password="",
            gateways=(gateway,),
        ).to_json()
    )

    assert 2 == main(["--target", str(path)])
    assert "Connection refused" in capsys.readouterr().err


def _revision(cluster: Any) -> str:
    dsn = make_conninfo(cluster.admin_dsn("us"), dbname="plain")
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select version_num from alembic_version").fetchone()
    assert row is not None
    return str(row[0])


def _set_revision(cluster: Any, revision: str) -> None:
    dsn = make_conninfo(cluster.admin_dsn("us"), dbname="plain")
    with psycopg.connect(dsn) as connection:
        connection.execute("update alembic_version set version_num = %s", (revision,))


def test_it_goes_back_and_forth_with_the_data(
    target: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A named revision is reached from either side; a wrong one is refused."""
    assert 0 == main(["--target", str(target), "--seed", "7"])
    assert 0 == main(["--target", str(target), "--to", "0002"])
    assert "0002" == _revision(cluster)
    assert 0 == main(["--target", str(target), "--to", "0003"])
    assert "0003" == _revision(cluster)
    assert 0 == main(["--target", str(target)])
    assert migrations.head() == _revision(cluster)

    assert 2 == main(["--target", str(target), "--to", "base"])
    assert "there is no revision base" in capsys.readouterr().err
    assert migrations.head() == _revision(cluster)


def test_a_newer_schema_is_refused_in_one_line(
    target: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older program says so, exits with 2, and neither migrates nor seeds."""
    assert 0 == main(["--target", str(target)])
    _set_revision(cluster, "9999")
    capsys.readouterr()

    for more in ([], ["--seed", "7"], ["--to", "0001"]):
        assert 2 == main(["--target", str(target), *more])
        told = capsys.readouterr()
        assert "" == told.out
        assert "schema revision 9999" in told.err
        assert 1 == len(told.err.splitlines())
    assert "9999" == _revision(cluster)
    dsn = make_conninfo(cluster.admin_dsn("us"), dbname="plain")
    with psycopg.connect(dsn) as connection:
        seeded = connection.execute("select count(*) from products").fetchone()
    assert (0,) == seeded


@pytest.mark.parametrize("more", [["--survive", "region"], ["--presplit-days", "7"]])
def test_what_is_cockroachdbs_is_refused_for_postgresql(
    target: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is left believing that his one server survives a region."""
    assert 2 == main(["--target", str(target), *more])
    assert "PostgreSQL has neither" in capsys.readouterr().err


def test_cockroachdb_gets_each_statement_alone(
    target: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CockroachDB gets it: every change commits itself, and is there after a break.

    PostgreSQL stands in for it, with its own layout.
    """
    described = DatabaseTarget.load(target)
    there = replace(described, flavour="cockroach")
    monkeypatch.setitem(command._DRIVERS, "cockroach", "postgresql+psycopg")
    monkeypatch.setattr(command, "_layout", lambda *_: _Breaking())

    with pytest.raises(RuntimeError, match="power cut"):
        command.migrate(there)
    assert "0001" == _revision(cluster)
    monkeypatch.setattr(command, "_layout", lambda *_: PostgresLayout())
    assert migrations.head() == command.migrate(there)


class _Breaking(PostgresLayout):
    def make_index(self, name: str) -> Iterator[str]:
        raise RuntimeError("power cut")
