"""`seawall cockroach check` against a real PostgreSQL server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from click.testing import CliRunner

from cockroach import asking, migrations
from cockroach.urls import parse
from lab.cli import seawall

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def admin(plain_url: Callable[[str], str]) -> str:
    return plain_url("checked")


def test_an_empty_server_fits_with_warnings(admin: str, tmp_path: Path) -> None:
    """Exit 0, a finding a subject, and the missing shop is told with its cure."""
    path = tmp_path / "check.json"
    done = CliRunner().invoke(
        seawall, ["cockroach", "check", admin, "--json", str(path)]
    )
    document = json.loads(path.read_text())
    found = {one["name"]: one for one in document["results"]}

    assert 0 == done.exit_code, done.output
    assert ("seawall/1", "cockroach check", "pass", "postgres") == tuple(
        document[key] for key in ("schema", "command", "verdict", "flavour")
    )
    assert "ok" == found["version"]["verdict"]
    assert "ok" == found["clock offset"]["verdict"]
    assert "--migrate" in found["schema"]["advice"]


def test_what_a_user_may_not_do_is_found(admin: str) -> None:
    """A user without privileges is told so by the server itself."""
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("drop role if exists onlooker")
        connection.execute("create role onlooker login password 'hunter22'")
    parts = urlsplit(admin)
    url = f"postgresql://onlooker:hunter22@127.0.0.1:{parts.port}/checked"
    with asking.Asking(parse(url)) as asked:
        facts = asking.facts(asked)

    assert "onlooker" == facts.user
    assert facts.is_admin is False
    assert facts.can_create is False
    assert facts.revision is None
    assert migrations.head() == facts.head


def test_a_newer_shop_does_not_fit(admin: str) -> None:
    """Exit 1 when the database was made by a newer program."""
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('9999')")

    done = CliRunner().invoke(
        seawall, ["cockroach", "check", admin], standalone_mode=False
    )

    assert 1 == done.return_value, done.output
    assert "9999" in done.output


def test_a_wrong_password_is_one_sentence(admin: str) -> None:
    """Nobody lets us in: exit 2 and why, without the password."""
    done = subprocess.run(
        [sys.executable, "-m", "lab.cli", "cockroach", "check"],
        env={**os.environ, "SEAWALL_DATABASE": admin.replace("hunter22", "guessed-1")},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert 2 == done.returncode
    assert "password authentication failed" in done.stderr
    assert "guessed-1" not in done.stdout + done.stderr
