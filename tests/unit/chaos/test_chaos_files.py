"""Every experiment file can be played, is told of, and asks for checks that exist."""

import json
import re
import shlex
from pathlib import Path

import pytest
from chaoslib.configuration import load_configuration
from chaoslib.experiment import ensure_experiment_is_valid

from chaos import activities, experiments, preflight
from chaos.cures import CURES
from chaos.diseases import DISEASES
from chaos.settings import Settings, SettingsError
from cockroach.schema import __main__ as schema_command
from load.plan import JOURNEYS

CARDS = Path(__file__).parents[3] / "docs" / "fault-cards"
# Checks that hold what the links to the database counted.
ON_LINKS = {
    "checkouts_go_round_the_world",
    "gateways_ask_no_other_region",
    "pages_search_every_region",
    "pages_stay_in_their_region",
    "statements_cross_regions",
    "statements_stay_home",
}
NAMES = sorted(experiments.available())


def document(name):
    return json.loads(experiments.find(name).read_text())


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def settings(name):
    given = load_configuration(document(name)["configuration"])
    return Settings.from_configuration({**given, "profile": "cured"})


def test_chaos_toolkit_takes_it(name):
    """The file is an ordinary experiment."""
    ensure_experiment_is_valid(document(name))


def test_it_is_named_after_itself(name, settings):
    """A run's folder and its verdict carry the name that was asked for."""
    assert name == settings.scenario


def test_every_check_is_there(settings):
    """A check that is misspelt would never be missed."""
    assert set(settings.checks["sick"]) <= set(DISEASES)
    assert set(settings.checks["cured"]) <= set(CURES)
    assert settings.checks["sick"]
    assert settings.checks["cured"]


def test_every_step_is_there(name):
    """What the method calls is what the activities offer, and the rollback closes."""
    told = document(name)
    steps = [one["provider"]["func"] for one in told["method"]]

    assert set(steps) <= set(activities.__all__)
    assert ["close"] == [one["provider"]["func"] for one in told["rollbacks"]]


def test_it_has_a_fault_or_a_stress(name, settings):
    """One of both, and the way of proving it that goes with it."""
    steps = [one["provider"]["func"] for one in document(name)["method"]]
    bounds = set(settings.proof)

    if settings.scaler:
        assert "start_scaler" in steps
        assert {"looks_at_least"} <= bounds
    elif not settings.hurts:
        assert "raise_load" in steps
        assert settings.stress
        assert {"in_force_at_least_times", "gone_at_most_times"} <= bounds
    else:
        assert "inject_latency" in steps
        assert {"in_force_at_least_ms", "gone_at_most_ms"} <= bounds


def test_it_needs_links_exactly_when_it_uses_them(settings):
    """For its fault, its scaler, or a check: else a lab without links would lie."""
    asked = {*settings.checks["sick"], *settings.checks["cured"]}
    uses = bool(settings.hurts or settings.scaler or asked & ON_LINKS)

    assert uses is (settings.needs == preflight.LINKS)


def test_the_load_can_be_played(settings):
    """Journeys that there are, and among them those that it is to hit."""
    played = {one["name"] for one in settings.load["journeys"]}

    assert played <= set(JOURNEYS)
    assert set(settings.affected_journeys) <= played


def test_a_slower_machine_can_play_less(name, settings, monkeypatch):
    """Every rate is multiplied by SEAWALL_LOAD; crowds and bounds stay as they are."""
    monkeypatch.setenv("SEAWALL_LOAD", "0.5")
    given = load_configuration(document(name)["configuration"])
    half = Settings.from_configuration({**given, "profile": "cured"})
    rates = [one["rate"] for one in settings.load["journeys"]]

    assert [rate / 2 for rate in rates] == [
        one["rate"] for one in half.load["journeys"]
    ]
    assert half.flashes() == settings.flashes()
    assert (half.checks, half.validity) == (settings.checks, settings.validity)


@pytest.mark.parametrize("factor", ["0", "-1", "11", "nan"])
def test_no_load_is_refused(monkeypatch, factor):
    """What is no load, or no load that a machine could play, is not tried."""
    monkeypatch.setenv("SEAWALL_LOAD", factor)
    given = load_configuration(document("slow-database")["configuration"])

    with pytest.raises(SettingsError, match="load_factor"):
        Settings.from_configuration({**given, "profile": "cured"})


def test_it_has_a_card(name):
    """The card names the experiment and the command that plays it."""
    card = (CARDS / f"{name}.md").read_text()

    assert card.startswith(f"# {name}\n")
    assert f"seawall chaos run {name}" in card


def test_the_card_of_range_split_prints_splits(capsys):
    """The command that it names for the cure runs, and prints what it promises."""
    card = (CARDS / "range-split.md").read_text()
    (command,) = re.findall(r"`python -m cockroach\.schema (.*?)`", card)

    assert schema_command.main(shlex.split(command)) == 0
    assert "split at values" in capsys.readouterr().out
