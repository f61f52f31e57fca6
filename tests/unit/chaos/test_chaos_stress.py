"""A peak counts only if it was delivered: in both its halves, and no longer after."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from chaoslib.configuration import load_configuration

from chaos import experiments, pulse
from chaos.load_process import plan
from chaos.settings import Settings, SettingsError
from chaos.stress import Stress
from chaos.toxics import Placed


@pytest.fixture
def configuration():
    document = json.loads(experiments.find("wrong-gateway").read_text())
    return {**load_configuration(document["configuration"]), "profile": "cured"}


@pytest.fixture
def settings(configuration):
    return Settings.from_configuration(configuration)


@pytest.fixture
def stress(settings, times):
    lab = SimpleNamespace(toxiproxy="http://127.0.0.1:9", control="127.0.0.1:9")
    stress = Stress(lab, settings)
    stress.in_force_s = times.timeline.in_force_s
    stress.removing_s = stress.gone_s = times.timeline.gone_s
    return stress


def sent(world, *, before, first, second, after):
    """So many journeys a second in the baseline, the peak's halves, and after it."""
    phases = ((1010, 10, before), (1020, 10, first), (1030, 10, second))
    for since_s, lasts_s, rate in (*phases, (1040, 12, after)):
        for n in range(lasts_s * rate):
            world.journey(since_s + n / rate, name="browse")
    return world.journeys


@pytest.mark.parametrize(
    ("rates", "wrong"),
    [
        ((5, 10, 10, 5), []),
        ((5, 5, 10, 5), ["in_force"]),
        ((5, 10, 5, 5), ["still_in_force"]),
        ((5, 10, 10, 10), ["gone"]),
        ((5, 0, 0, 5), ["in_force", "still_in_force"]),
    ],
)
def test_the_peak_is_counted(world, stress, rates, wrong):
    """Each part is held against the baseline, by journeys that were really sent."""
    before, first, second, after = rates
    them = sent(world, before=before, first=first, second=second, after=after)
    stress.look_back(them, baseline_s=1010)

    assert {"in_force", "still_in_force", "gone"} == set(stress.proofs)
    assert wrong == [name for name, one in stress.proofs.items() if one["wrong"]]


def test_sent_late_is_not_sent_then(world, stress):
    """Who was meant to come in the peak and was sent after it is not of the peak."""
    them = [
        dataclasses.replace(one, sent_s=1045.0)
        if 1030 <= one.intended_s < 1040
        else one
        for one in sent(world, before=5, first=10, second=10, after=5)
    ]
    stress.look_back(them, baseline_s=1010)

    assert stress.proofs["still_in_force"]["wrong"]


def test_a_load_without_a_baseline_proves_no_peak(world, stress):
    """Twice nothing is nothing."""
    stress.look_back(sent(world, before=0, first=5, second=5, after=0), baseline_s=1010)

    assert stress.proofs["in_force"]["wrong"]


def test_a_load_that_never_ended_is_not_measured(stress):
    """Without journeys there is no proof, and the verdict says so."""
    stress.look_back([], baseline_s=1010)

    assert stress.proofs == {}


def test_a_strange_toxic_is_noted(stress, monkeypatch):
    """Somebody else's fault would be taken for the design's."""
    there = [Placed(proxy="sql-us-to-eu-a", toxic="slow")]
    monkeypatch.setattr(stress, "_toxiproxy", SimpleNamespace(placed=lambda: there))
    stress.prove_gone()

    assert stress.foreign == ["slow on sql-us-to-eu-a"]


def test_the_plan_has_the_peak_where_others_have_a_fault(settings):
    """The generator is told when it begins, when it ends and how high it is."""
    lab = SimpleNamespace(addresses=lambda _: {}, catalogue={}, otlp="")
    document = plan(settings, lab, start_at=1000.0)
    timings = settings.timings

    assert document["surges"] == [
        {"at_s": timings.fault_at_s, "until_s": timings.fault_until_s, "times": 2.0}
    ]


def test_the_planned_rate_shows_the_peak(settings):
    """Whoever watches sees it coming and going."""
    timings = settings.timings
    usual = pulse.planned(settings, 1.0, regions=3)

    assert pulse.planned(settings, timings.fault_at_s, regions=3) == 2 * usual
    assert pulse.planned(settings, timings.fault_until_s, regions=3) == usual


def test_a_stress_is_more_than_usual(configuration):
    """Half the load is no peak."""
    with pytest.raises(SettingsError, match="times > 1"):
        Settings.from_configuration({**configuration, "stress": {"times": 0.5}})
