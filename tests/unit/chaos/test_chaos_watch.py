"""What a run tells of itself while it runs: numbers by the second, breakers, fault."""

import json
import sqlite3

import pytest
from chaoslib.configuration import load_configuration

from chaos import experiments, pulse, round_trips
from chaos.breaker_watch import BreakerWatch, standing
from chaos.breakers import Change
from chaos.fault import Fault
from chaos.pulse import Pulse
from chaos.settings import Settings
from observability import names
from observability.spans import SpanEvent
from observability.tail import SeenEvent


@pytest.fixture
def settings():
    document = json.loads(experiments.find("slow-database").read_text())
    given = load_configuration(document["configuration"])
    return Settings.from_configuration({**given, "profile": "cured"})


@pytest.fixture
def seen(world):
    """Ten journeys a second for five seconds, the third second slow and half failed."""
    for n in range(50):
        slow = 20 <= n < 30
        outcome = "failure" if slow and n % 2 else "success"
        world.journey(1000 + n / 10, 900 if slow else 30, outcome=outcome)
    return sorted(world.journeys, key=lambda one: one.done_s)


def test_every_second_is_told_once(settings, seen):
    """Beats that come late leave no second out and tell none twice."""
    beats = Pulse(settings, regions=3)
    told = [
        beats.beat([one for one in seen if one.done_s <= now], start_s=1000, now_s=now)
        for now in (1000.0, 1001.2, 1003.9, 1005.0)
    ]

    assert [[one["at_s"] for one in beat["seconds"]] for beat in told] == [
        [],
        [0],
        [1, 2],
        [3, 4],
    ]
    p95s = [one["p95_ms"] for beat in told for one in beat["seconds"]]
    assert p95s == [30, 30, 900, 900, 30]


def test_the_numbers_are_those_of_the_last_seconds(settings, seen):
    """Success and latency forget what is older than two seconds."""
    early = Pulse(settings, regions=3).beat(seen[:20], start_s=1000, now_s=1002)
    late = Pulse(settings, regions=3).beat(seen, start_s=1000, now_s=1004)

    assert (early["success_ratio"], early["p50_ms"]) == (1.0, 30)
    assert late["success_ratio"] < 1
    assert late["p95_ms"] == 900
    assert late["ended"] == 50


def test_a_second_without_answers_has_no_latency(settings):
    """Silence is no fast answer."""
    beat = Pulse(settings, regions=3).beat([], start_s=1000, now_s=1001)

    assert beat["seconds"] == [{"at_s": 0, "ended": 0, "p50_ms": None, "p95_ms": None}]
    assert beat["success_ratio"] is None


@pytest.mark.parametrize(
    ("at_s", "expected"), [(-1, 0), (5, 50), (29.5, 230), (30.5, 50), (50, 0)]
)
def test_the_plan_knows_its_crowds(settings, at_s, expected):
    """50 a second, 180 more where a crowd comes, none outside the plan."""
    assert expected == pulse.planned(settings, at_s, regions=3)


def change(at_s, old, new, reason="slow_rate"):
    return Change(
        instance="catalog-eu-a",
        breaker="database@eu",
        old=old,
        new=new,
        reason=reason,
        time_ns=int(at_s * 1e9),
        trace_id="",
    )


def test_a_breaker_that_probes_has_opened_once():
    """Since when and why count from when it left closed; trials are no openings."""
    found = standing(
        [
            change(10, "closed", "open"),
            change(11, "open", "half_open", "open_interval_over"),
            change(12, "half_open", "open"),
        ]
    )

    assert (found.state, found.since_s, found.opened) == ("open", 10, 1)
    assert found.reason == "slow_rate"


def event(at_s, old, new, instance="catalog-eu-a", breaker="database@eu"):
    told = {"name": breaker, "old": old, "new": new, "reason": "slow_rate"}
    return SeenEvent(
        instance, SpanEvent(names.EVENT_BREAKER_CHANGED, int(at_s * 1e9), told)
    )


class FakeTail:
    def __init__(self, *looks):
        self._looks = list(looks)

    def more(self):
        found = self._looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def watch(tmp_path, monkeypatch):
    def made(*looks):
        watch = BreakerWatch(tmp_path / "traces.db")
        monkeypatch.setattr(watch, "_tail", FakeTail(*looks))
        return watch

    return made


def test_late_news_change_no_later_state(watch):
    """A transition on a long span comes after those that followed it."""
    found = watch(
        [event(11, "open", "half_open")],
        [event(10, "closed", "open")],
    )
    found.look()
    told = found.look()

    (one,) = told["not_closed"]
    assert (one["state"], one["since_s"]) == ("half_open", 10)
    assert told["opened"] == {"database@eu": {"times": 1, "processes": 1}}


def test_a_breaker_that_closed_is_listed_no_more(watch):
    """But its opening stays counted."""
    told = watch(
        [
            event(10, "closed", "open"),
            event(11, "half_open", "closed"),
            event(10, "closed", "open", instance="orders-eu-a"),
        ]
    ).look()

    assert [one["process"] for one in told["not_closed"]] == ["orders-eu-a"]
    assert told["opened"] == {"database@eu": {"times": 2, "processes": 2}}


def test_a_store_that_does_not_answer_leaves_old_news(watch):
    """What is known stays, and is said to be old; the run goes on."""
    found = watch([event(10, "closed", "open")], sqlite3.OperationalError("locked"), [])

    assert found.look()["answers"]
    silent = found.look()
    assert not silent["answers"]
    assert len(silent["not_closed"]) == 1
    assert found.look()["answers"]


def test_what_a_fault_adds_is_told_without_the_distance():
    """The median over links; one that gave no answer is left out."""
    measured = {"near": 401.0, "far": 620.0, "silent": None}

    assert 400.5 == round_trips.felt_ms(measured, {"near": 0.0, "far": 220.0})
    assert None is round_trips.felt_ms({"silent": None}, {})


@pytest.fixture
def fault(settings):
    fault = Fault.__new__(Fault)
    fault._settings = settings
    fault._placed, fault.proofs, fault._felt_ms = [], {}, None
    fault.removing_s = 0.0
    return fault


@pytest.mark.parametrize(
    ("placed", "proofs", "removing_s", "state"),
    [
        (0, {}, 0, "off"),
        (8, {}, 0, "injecting"),
        (8, {"in_force": []}, 0, "in force"),
        (8, {"in_force": ["sql"]}, 0, "not felt"),
        (8, {"in_force": [], "still_in_force": ["sql"]}, 0, "not felt"),
        (8, {"in_force": []}, 5, "removed"),
        (8, {"in_force": [], "gone": []}, 5, "gone"),
        (8, {"in_force": [], "gone": ["sql"]}, 5, "lingers"),
    ],
)
def test_the_fault_says_how_it_stands(fault, placed, proofs, removing_s, state):
    """By what was measured, not by what was meant."""
    fault._placed = ["link"] * placed
    fault.proofs = {moment: {"wrong": wrong} for moment, wrong in proofs.items()}
    fault.removing_s = removing_s

    assert fault.to_json()["state"] == state
    assert fault.to_json()["links"] == placed
