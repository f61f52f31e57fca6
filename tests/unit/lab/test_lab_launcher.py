"""What a lab says of a database that is not its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockroach.placing import External
from cockroach.topology import DatabaseTarget, Gateway
from lab.launcher import Lab, LabConfig

GATEWAY = Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=1)
COCKROACH = External(
    target=DatabaseTarget(
        flavour="cockroach", dbname="shop", user="u", password="", gateways=(GATEWAY,)
    ),
    notes=("no host in asia",),
)


@pytest.mark.parametrize("replicas", [False, True])
def test_copies_that_are_not_needed_are_said_so(tmp_path: Path, replicas: bool) -> None:
    """Where followers answer, --replicas starts nothing, and its user is told."""
    lab = Lab(LabConfig(folder=tmp_path, cures={}, replicas=replicas), ())
    assert () == lab.notes
    lab._external = COCKROACH

    told = [one for one in lab.notes if "followers" in one]
    assert "no host in asia" == lab.notes[0]
    assert replicas is bool(told)
