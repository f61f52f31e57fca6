"""What an experiment declares is judged, and nothing that it does not declare."""

import dataclasses

import pytest

from chaos import figures, slo

MINIMUM = {"success_ratio": 0.99, "p95_ms": 500, "max_stale_ms": 30_000}


@pytest.fixture
def judge(world, times, case):
    """Give the names of checks and whether they passed, for some declarations."""

    def judged(which, **changes):
        one = dataclasses.replace(
            case,
            settings=dataclasses.replace(case.settings, **changes),
            journeys=sorted(world.journeys, key=lambda one: one.intended_s),
        )
        groups = figures.groups(
            one.journeys,
            times.timeline,
            affected=one.settings.affects,
            max_stale_ms=30_000,
        )
        if which == "sick":
            found = slo.suffering(one, groups)
        else:
            found = slo.objectives(one, groups, recovery=None)
        return {check.name: check.passed for check in found}

    return judged


def test_only_what_is_declared_is_judged(world, judge):
    """Without bounds for goodput and the like only success and p95 are looked at."""
    world.journey(1021, home="eu")
    world.journey(1021, home="us")

    names = ["slo_success_affected", "slo_p95_affected"]
    others = ["slo_success_others", "slo_p95_others"]
    assert [*names, *others] == list(judge("cured", slo=MINIMUM))
    assert not judge("cured", slo={**MINIMUM, "recovery_s": 5})["recovery"]
    assert judge("sick", disease={}) == {}


def test_nobody_is_left_out_when_everybody_is_hit(world, judge):
    """An experiment that hits all has no others to hold against it."""
    world.journey(1021, home="eu")
    found = judge("cured", slo=MINIMUM, region="", affected_journeys=())

    assert {"slo_success_affected": True, "slo_p95_affected": True} == found


def test_the_affected_may_be_one_kind_of_journey(world, judge):
    """A slow page of one kind is the affected's, whatever the others do."""
    world.journey(1021, 900, name="contract_prices", home="us")
    world.journey(1021, 20, name="browse", home="us")
    found = judge(
        "cured", slo=MINIMUM, region="us", affected_journeys=("contract_prices",)
    )

    assert not found["slo_p95_affected"]
    assert found["slo_p95_others"]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (900, 20, {"affected_wait_p50": True, "others_do_not_wait_p50": True}),
        (100, 20, {"affected_wait_p50": False, "others_do_not_wait_p50": True}),
        (900, 400, {"affected_wait_p50": True, "others_do_not_wait_p50": False}),
    ],
)
def test_sick_may_be_shown_by_waiting(world, judge, ours, theirs, expected):
    """The affected wait as long as the file says, and the others do not."""
    world.journey(1021, ours, home="eu")
    world.journey(1021, theirs, home="us")

    assert expected == judge("sick", disease={"p50_ms": 500, "others_p50_ms": 100})


def test_nobody_waits_where_nobody_came(judge):
    """An empty group has not shown that it waits, nor that it does not."""
    found = judge("sick", disease={"p95_ms": 500, "others_p50_ms": 100})

    assert {"affected_wait_p95": False, "others_do_not_wait_p50": False} == found
