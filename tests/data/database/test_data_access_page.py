"""What docs/data-access.md shows is what a reader gets."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, select

from cockroach import ids, sqlstates
from cockroach.database import Known
from cockroach.schema.tables import customers

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "data-access.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


async def test_the_snippets_run_in_order(cluster, database, replica, touch_eu) -> None:
    """The page's Python is one program on a database with a copy of eu."""
    touch_eu()
    target = cluster.target("eu")
    gateway = target.in_region("eu")[0]
    engine = create_engine(
        URL.create(
            "postgresql+psycopg",
            username=target.user,
            password=target.password,
            host=gateway.host,
            port=gateway.port,
            database=target.dbname,
        ),
        connect_args={"sslmode": "disable", "gssencmode": "disable"},
    )
    customer = ids.customer_id("eu", 5).uuid
    row = {
        "crdb_region": "eu",
        "customer_id": customer,
        "fingerprint": "f",
        "created_at": datetime.now(UTC),
    }

    async def another_work(transaction: Any) -> None:
        await transaction.fetch(select(customers.c.id).limit(1))

    async def another_look(_transaction: Any) -> Known[None]:
        return Known(None)

    names = {
        "database": database("eu", breaker=False),
        "engine": engine,
        "customer": customer,
        "now": datetime.now(UTC),
        "another_work": another_work,
        "another_look": another_look,
        "rows": [row | {"idem_key": uuid.uuid4().hex} for _ in range(3)],
        "wanted": [ids.customer_id("eu", n).uuid for n in range(1, 6)],
        "SOMEBODY": select(customers.c.id).where(customers.c.crdb_region == "us"),
    }
    for number, text in enumerate(SNIPPETS, 1):
        code = compile(
            text, f"snippet {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        done = eval(code, names)
        if inspect.isawaitable(done):
            await done
    engine.dispose()

    assert all(one is not None for one in names["found"])
    assert 300 == len(names["rows"])
    assert 0 <= names["behind_s"] <= 30


def test_every_sqlstate_of_the_table_is_on_the_page() -> None:
    """Who meets one finds it, with the name of what is raised."""
    states = PAGE.partition("## What each SQLSTATE means")[2].partition("\n## ")[0]

    assert [] == [
        one for one in sqlstates.TABLE if one not in states and one != "23505"
    ]
    for meaning in sqlstates.TABLE.values():
        assert f"`{meaning.error.__name__}`" in states


@pytest.mark.timeout(115)
def test_the_command_runs(tmp_path) -> None:
    """The benchmark of the page prints its figures and writes its object."""
    (command,) = COMMANDS
    words = shlex.split(command)
    assert words[0] == "seawall"
    path = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "lab.cli", *words[1:], "--json", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    document = json.loads(path.read_text())

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "bench data" == document["command"]
    assert {"Database.transaction", "BlockingRunner.transaction", "Router.choose"} == {
        one["name"] for one in document["budgets"]
    }
