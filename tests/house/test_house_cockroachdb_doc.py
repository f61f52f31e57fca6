"""What docs/cockroachdb.md shows is what there is."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from cockroach import asking, check
from cockroach.urls import parse
from lab.cli import seawall
from tests.house.compose_file import COMPOSE, SECURE, interpolated, mebibytes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cockroachdb.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
DOCKER = [line for line in COMMANDS if line.startswith("docker compose")]
SEAWALL = [line for line in COMMANDS if line.startswith("seawall")]
OTHERS = [line for line in COMMANDS if line not in (*DOCKER, *SEAWALL)]
PROFILES = {
    profile
    for one in interpolated(COMPOSE)["services"].values()
    for profile in one["profiles"]
}


@pytest.mark.parametrize("line", DOCKER)
def test_compose_is_called_with_what_it_has(line: str) -> None:
    """Files and profiles of the command exist, in the order that compose takes."""
    words = shlex.split(line)
    for option, word in itertools.pairwise(words):
        if option == "--profile":
            assert word in PROFILES
        elif option in {"-f", "--env-file"}:
            assert (ROOT / word).exists()
    assert {"up", "down"} & set(words)
    if "-f" in words:
        assert [COMPOSE.name, SECURE.name] == [
            word for option, word in itertools.pairwise(words) if option == "-f"
        ]


@pytest.mark.parametrize("line", SEAWALL)
def test_seawall_takes_its_commands(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each command is taken as written; nobody is at its address, and it says so."""

    def nobody(**_: object) -> None:
        raise asking.psycopg.OperationalError("no route to it")

    monkeypatch.setattr(
        asking.Asking.__init__,
        "__kwdefaults__",
        {
            **asking.Asking.__init__.__kwdefaults__,
            "connect": nobody,
        },
    )
    monkeypatch.setenv("SEAWALL_LAB", str(tmp_path / "lab.json"))
    # Only the parent of a detached lab would start a process.
    words = [w for w in shlex.split(line)[1:] if w != "--detach"]
    if words[0] in {"up", "chaos"}:
        # Another lab may run on this machine.
        words += ["--port-base", "0"]
    done = CliRunner().invoke(seawall, words)

    assert "Usage" not in done.output, done.output
    assert "no route to it" in done.output


def test_the_other_commands_exist() -> None:
    """The script is there, and the variable and target are known."""
    assert [
        "bash deploy/cockroach/certs.sh certs",
        "COCKROACH_URL=cockroachdb://shop@db.example:26257/shop make test-cockroach",
    ] == OTHERS
    assert (ROOT / "deploy" / "cockroach" / "certs.sh").exists()
    assert "\ntest-cockroach:" in (ROOT / "Makefile").read_text()
    assert parse(OTHERS[1].split()[0].partition("=")[2], {}).dbname == "shop"


def test_the_figures_are_those_of_the_code() -> None:
    """Versions, days and offsets of the table are what the judgement uses."""
    oldest, newest = (
        f"v{one[0]}.{one[1]}" for one in (check.OLDEST_KNOWN, check.NEWEST_KNOWN)
    )
    usable = f"v{check.OLDEST_USABLE[0]}.{check.OLDEST_USABLE[1]}"

    assert f"older than {usable}; PostgreSQL older than {check.OLDEST_POSTGRES}" in PAGE
    assert f"not {oldest} to {newest}" in PAGE
    assert f"under {check.LICENCE_SOON_DAYS:.0f} days" in PAGE
    assert f"over {0.8 * check.MAX_OFFSET_MS:.0f} ms between nodes" in PAGE
    assert f"over {0.8 * check.ADVISED_OFFSET_MS:.0f} ms, or not known" in PAGE


@pytest.mark.parametrize(
    ("profile", "told_mib"), [("core", 4096), ("full", 9216), ("observability", 1536)]
)
def test_the_memory_told_is_enough(profile: str, told_mib: int) -> None:
    """The table's memory holds the limits of what stays, and is not far off."""
    needed = sum(
        mebibytes(one["mem_limit"])
        for one in interpolated(COMPOSE)["services"].values()
        if profile in one["profiles"] and one.get("restart") != "no"
    )

    assert 0.85 * told_mib < needed <= told_mib


def test_every_subject_of_check_is_in_the_table() -> None:
    """What `check` may find has a row, and no row is of something else."""
    rows = re.findall(
        r"^\| ([a-z, ]+) \|", PAGE.split("## Nine nodes")[0], re.MULTILINE
    )
    told = {name for row in rows for name in row.split(", ")} - {"what it looks at"}
    source = (ROOT / "cockroach" / "check.py").read_text()

    for name in told:
        assert f'"{name}"' in source, name
    assert len(told) >= 12
