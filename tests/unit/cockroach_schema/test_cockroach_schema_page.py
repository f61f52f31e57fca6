"""What the schema's page shows is what a user gets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cockroach import migrations
from cockroach.migrations.__main__ import _parser as migrations_parser
from cockroach.schema.__main__ import main
from cockroach.schema.tables import SHOP

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "schema.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
PYTHON = ".venv/bin/python -m "
SCHEMA = [c for c in COMMANDS if c.startswith(f"{PYTHON}cockroach.schema")]
# With a database: tests/data/test_migrations_command.py.
MIGRATIONS = [c for c in COMMANDS if c.startswith(f"{PYTHON}cockroach.migrations")]
# Its outcome is compared in tests/data/test_services_statements.py.
ELSEWHERE = [f"{PYTHON}tests.data.statement_list"]


def test_every_command_is_known() -> None:
    """No command stands on the page that nothing runs."""
    assert [] == [c for c in COMMANDS if c not in (*SCHEMA, *MIGRATIONS, *ELSEWHERE)]
    assert len(SCHEMA) == 5
    assert len(MIGRATIONS) == 2


@pytest.mark.parametrize("line", SCHEMA)
def test_a_command_that_prints_prints(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each prints statements and exits with 0."""
    assert 0 == main(shlex.split(line)[3:])
    assert capsys.readouterr().out.endswith(";\n")


@pytest.mark.parametrize("line", MIGRATIONS)
def test_a_command_that_migrates_is_understood(line: str) -> None:
    """Its options exist, and its revision."""
    options = migrations_parser().parse_args(shlex.split(line)[3:])

    assert options.to in (None, *migrations.revisions())


def test_the_table_of_revisions_is_complete() -> None:
    """The page knows every revision and every index that came later."""
    rows = re.findall(r"^\| (\d{4}) \| (.*) \|$", PAGE, re.MULTILINE)
    told = "".join(text for _, text in rows)
    moved = [i for t in SHOP.tables for i in t.indexes if i.until or i.since > "0001"]

    assert list(migrations.revisions()) == [number for number, _ in rows]
    assert [] == [index.name for index in moved if f"`{index.name}`" not in told]


def test_the_files_it_names_are_there() -> None:
    """No reader is sent to a file that is not there."""
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists()
    for name in re.findall(r"`([\w-]+\.sql)`", PAGE):
        assert Path(__file__).with_name(name).exists()
