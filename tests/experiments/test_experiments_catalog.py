"""The suite's own book of experiments."""

from __future__ import annotations

import json

import pytest

from chaos import experiments, preflight
from lab import profiles
from tests.experiments.catalog import ELSEWHERE, GIVEN, MISSED, NEEDS_DISTANCE


def test_every_experiment_is_accounted_for():
    """A new experiment is played by the suite, or it is said who else plays it."""
    assert not MISSED.keys() & ELSEWHERE.keys()
    assert {*MISSED, *ELSEWHERE} == {*experiments.available()}


@pytest.mark.parametrize(("name", "missed"), MISSED.items())
def test_the_missed_cure_and_checks_are_the_experiments(name, missed):
    """The cure is a switch that there is, and cured is asked for the checks."""
    cure, checks = missed
    document = json.loads(experiments.find(name).read_text())

    assert cure in profiles.CURE_NAMES
    assert checks <= set(document["configuration"]["checks"]["cured"])


def test_whatever_a_given_database_can_show_is_played_there():
    """Every experiment that says of no need is; the others could not be."""
    fits = {
        name
        for name, path in experiments.available().items()
        if not preflight.unfit(
            json.loads(path.read_text())["configuration"].get("needs", ""), "postgres"
        )
    }

    assert fits == {*GIVEN} == {*NEEDS_DISTANCE}
