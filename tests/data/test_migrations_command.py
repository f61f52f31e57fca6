"""The command that brings a database of the user's own to the shop's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cockroach.migrations.__main__ import main
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
