"""What is said to a CockroachDB, held by a golden file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockroach.drills import cluster
from cockroach.drills import cockroach_statements as say

GOLDEN = Path(__file__).parent / "golden" / "cockroach.sql"
PLACE = "nodelocal://1/drill"


def test_the_statements_are_those_of_the_golden_file():
    """Nothing reaches a cluster that nobody has read."""
    parts = {
        "schema": say.schema(),
        "schema that survives a region": say.schema(regions=("eu", "us", "asia")),
        "backup, restore": (
            say.full_backup(PLACE),
            say.next_backup(PLACE),
            say.lose(),
            say.restore(PLACE),
            say.restore(PLACE, moment="2026-11-23 10:00:00.5"),
            say.cleanup(),
        ),
    }
    said = "".join(
        f"-- {name}\n" + "".join(f"{one};\n" for one in statements)
        for name, statements in parts.items()
    )

    assert GOLDEN.read_text() == said


@pytest.mark.parametrize(
    "build",
    [
        lambda: say.full_backup("nodelocal://1/x' WITH detached"),
        lambda: say.full_backup("just a word"),
        lambda: say.restore(PLACE, moment="yesterday"),
        lambda: say.restore(PLACE, moment="2026-11-23 10:00:00' --"),
        lambda: say.schema(regions=('eu"; DROP', "us")),
        lambda: say.region_fault("mars", ["crdb-eu"]),
        lambda: say.region_fault("e.*", ["crdb-eu"]),
    ],
)
def test_words_that_would_leave_their_place_are_refused(build):
    """Whatever comes from outside is checked before it stands in a statement."""
    with pytest.raises(ValueError, match=r"^(not|no) "):
        build()


def test_a_region_is_its_nodes_and_no_other_service():
    """One node a region or several: all of the region's, and nobody else."""
    services = ["crdb-us", "crdb-eu-1", "crdb-eu-2", "crdb-euro", "haproxy-eu", "wan"]
    eu = say.region_fault("eu", services)

    kill = "docker compose kill --signal SIGKILL crdb-eu-1 crdb-eu-2"
    assert kill.split() == list(eu.kill)
    assert ["docker", "compose", "start", "crdb-eu-1", "crdb-eu-2"] == list(eu.start)
    assert say.region_fault("us", services).kill[-1] == "crdb-us"


@pytest.mark.parametrize(
    ("name", "environ", "told"),
    [
        ("cockroach-backup", {}, "set COCKROACH_URL"),
        ("cockroach-region", {}, "set COCKROACH_URL"),
        (
            "cockroach-backup",
            {"COCKROACH_URL": "postgresql://x"},
            "set COCKROACH_BACKUP_URL",
        ),
    ],
)
def test_what_is_missing_is_told(name, environ, told):
    """Without a cluster the reason says what to set."""
    assert told in str(cluster.unavailable(name, environ))


def test_with_everything_nothing_is_missing():
    """A cluster and a place for copies are enough for the backup's drill."""
    environ = {"COCKROACH_URL": "postgresql://x", "COCKROACH_BACKUP_URL": PLACE}

    assert cluster.unavailable("cockroach-backup", environ) is None
