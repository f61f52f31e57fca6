"""Each experiment on the embedded cluster: sick, cured, and without its cure.

A machine that is too slow or too busy makes a run invalid. That is a failure here, and
the reason stands in its message.
"""

from __future__ import annotations

import pytest

from tests.command import failed
from tests.experiments.catalog import MISSED

pytestmark = [pytest.mark.experiment, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", MISSED)
def test_both_profiles_show_what_they_promise(play, name):
    """Sick shows its disease, cured keeps its objectives, and the exit code says so."""
    told = play(name, "--profile", "both")

    assert [] == told["invalid_reasons"], told["said"]
    (result,) = told["results"]
    verdicts = {one: found["verdict"] for one, found in result["profiles"].items()}
    assert {"sick": "pass", "cured": "pass"} == verdicts, told["said"]
    assert ("pass", 0) == (told["verdict"], told["exit"])


@pytest.mark.parametrize(
    ("name", "cure", "checks"), [(n, *m) for n, m in MISSED.items()]
)
def test_without_its_cure_it_is_red(play, name, cure, checks):
    """Cured but for the one cure it is about: valid, failed, and a check names it."""
    told = play(name, "--profile", "cured", "--without", cure)

    assert [] == told["invalid_reasons"], told["said"]
    (result,) = told["results"]
    assert checks & failed(result["profiles"]["cured"]), told["said"]
    assert ("fail", 1) == (told["verdict"], told["exit"])
