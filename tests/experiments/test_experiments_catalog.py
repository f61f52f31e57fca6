"""The suite's own book of experiments."""

from __future__ import annotations

import json

import pytest

from chaos import experiments
from lab import profiles
from tests.experiments.catalog import ELSEWHERE, MISSED


def test_every_experiment_is_accounted_for():
    """A new experiment is played by the suite, or it is said who else plays it."""
    assert not MISSED.keys() & ELSEWHERE.keys()
    assert {*MISSED, *ELSEWHERE} == {*experiments.available()}


@pytest.mark.parametrize(("name", "missed"), MISSED.items())
def test_the_missed_cure_and_check_are_the_experiments(name, missed):
    """The cure is a switch that there is, and cured is asked for the check."""
    cure, check = missed
    document = json.loads(experiments.find(name).read_text())

    assert cure in profiles.CURE_NAMES
    assert check in document["configuration"]["checks"]["cured"]
