"""Pass, fail or invalid: by what the experiment file declares, invalid first."""

import dataclasses
import json

import pytest
from chaoslib.configuration import load_configuration

from chaos import experiments, validity, verdict
from chaos.case import Case
from chaos.cures import CURES
from chaos.diseases import DISEASES
from chaos.harvest import Account
from chaos.settings import Settings, SettingsError
from observability.evidence import Evidence

SEED = 7


@pytest.fixture
def configuration():
    document = json.loads(experiments.find("slow-database").read_text())
    return {**load_configuration(document["configuration"]), "profile": "cured"}


@pytest.fixture
def settings(configuration):
    return Settings.from_configuration(
        {**configuration, "min_journeys": 100, "min_affected_journeys": 30}
    )


def with_checks(settings, profile, **wanted):
    return dataclasses.replace(settings, profile=profile, checks={profile: wanted})


@pytest.fixture
def build(world, settings, times):
    """A valid run of a healthy shop, for a test to spoil."""
    for n in range(420):
        home = ("us", "eu", "asia")[n % 3]
        name = "checkout" if n % 5 == 0 else "browse"
        world.journey(1000 + n / 8, 20, home=home, name=name)

    def case(**changes):
        proof = {"wrong": [], "at_s": 1021}
        given = {
            "settings": with_checks(settings, "cured"),
            "timeline": times.timeline,
            "journeys": sorted(world.journeys, key=lambda one: one.intended_s),
            "evidence": Evidence(world.spans),
            "summary": {
                "offered": len(world.journeys),
                "sent": len(world.journeys),
                "late": 0,
                "dropped": 0,
                "stalls": [],
                "busy": [{"at_s": 1015, "percent": 30}],
                "spans": {"ended": 420, "dropped_queue": 0},
            },
            "proofs": {
                "in_force": proof,
                "still_in_force": proof,
                "gone": proof,
            },
            "lost": Account(services=0, collector=0, late=0),
        }
        return Case(**{**given, **changes})

    return case


def test_a_good_cured_run_passes(build):
    """The SLO holds for the affected and the others, and every check is seen."""
    told = verdict.judge(build())

    assert told["invalid_reasons"] == []
    assert told["verdict"] == "pass"
    assert [one["name"] for one in told["checks"] if not one["passed"]] == []


def test_the_profile_has_every_promised_figure(build):
    """Nobody who reads the JSON has to ask whether a key is there."""
    told = verdict.judge(build())
    promised = [
        *("success_ratio", "degraded_ratio", "p50_ms", "p95_ms", "p99_ms"),
        *("goodput_rps", "offered_rps", "sql_per_checkout", "attempts_per_call"),
        *("cross_region_sql_per_checkout", "peak_identical_loads", "recovery_s"),
        *("baseline", "checks"),
    ]

    assert [key for key in promised if key not in told] == []
    assert {"success_ratio", "p95_ms"} <= set(told["baseline"])
    assert {"name", "passed", "observed", "expected", "trace_ids"} <= set(
        told["checks"][0]
    )
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"aborted": "halted: all failed"}, "halted"),
        ({"timeline": None}, "did not reach its end"),
        ({"proofs": {}}, "not in force when it began: not measured"),
        ({"foreign_toxics": ["x on y"]}, "not ours: x on y"),
        ({"lost": Account(services=1, collector=0, late=0)}, "1 spans were lost"),
        ({"lost": Account(services=0, collector=0, late=2)}, "2 spans came late"),
        ({"lost": None}, "not counted"),
        ({"summary": {}}, "no load"),
        ({"evidence": Evidence(())}, "journeys have no trace"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_run_that_proves_nothing_is_invalid(build, change, says):
    """Invalid is neither green nor red, and says why."""
    told = verdict.judge(build(**change))

    assert told["verdict"] is None
    assert not told["valid"]
    assert any(says in reason for reason in told["invalid_reasons"])
    assert verdict.exit_code(told) == 3


@pytest.mark.parametrize("moment", ["in_force", "still_in_force", "gone"])
def test_a_fault_that_does_not_bite_is_invalid(build, moment):
    """Measured through every link, at its begin, before its end, and after it."""
    case = build()
    proofs = {**case.proofs, moment: {"wrong": ["sql-us-to-eu-a: 81 ms"]}}
    told = verdict.judge(dataclasses.replace(case, proofs=proofs))

    assert "sql-us-to-eu-a" in told["invalid_reasons"][0]


@pytest.mark.parametrize(
    ("summary", "says"),
    [
        ({"late": 10}, "sent on time"),
        ({"offered": 600}, "have no result"),
        ({"stalls": [{"at_s": 1025, "ms": 900}]}, "stalled 1 times, up to 900 ms"),
        ({"stalls": None}, "heartbeat"),
        ({"busy": [{"at_s": 1015, "percent": 91}]}, "91 % busy"),
        ({"spans": {"dropped_export": 3}}, "3 spans were lost"),
    ],
)
def test_a_starved_machine_is_invalid(build, summary, says):
    """A slow machine must not be read as a slow shop."""
    case = build()
    told = verdict.judge(build(summary={**case.summary, **summary}))

    assert any(says in reason for reason in told["invalid_reasons"])


def test_a_stall_outside_the_run_does_not_count(build):
    """What happened before the first customer hurt nobody."""
    case = build()
    stalls = [{"at_s": 990, "ms": 900}]

    assert verdict.judge(build(summary={**case.summary, "stalls": stalls}))["valid"]


def test_too_few_journeys_are_invalid(build, settings):
    """A handful of customers cannot show 99.5 %."""
    strict = dataclasses.replace(
        settings, checks={}, validity={**settings.validity, "min_journeys": 900}
    )
    told = verdict.judge(build(settings=strict))

    assert told["invalid_reasons"] == ["160 journeys in the fault, 900 are needed"]


def test_a_machine_that_is_too_busy_is_said_to_be() -> None:
    """Whoever has no steady state learns whether the machine is the reason."""
    assert validity.too_busy(80.0, 80.0) == ""
    assert "the machine was 97 % busy, 80 % are allowed" in validity.too_busy(
        96.6, 80.0
    )


def test_an_unsteady_baseline_is_invalid(build, world):
    """Who was ill before the fault shows nothing about the fault."""
    for n in range(20):
        world.journey(1012 + n / 10, outcome="failure")
    told = verdict.judge(build())

    assert "no steady state" in told["invalid_reasons"][0]


@pytest.mark.parametrize("home", ["eu", "us"])
def test_a_broken_slo_fails(build, world, home):
    """For the affected and for the others, each by itself."""
    for n in range(5):
        world.journey(1025 + n, home=home, outcome="failure")
    told = verdict.judge(build())
    group = "affected" if home == "eu" else "others"

    assert told["verdict"] == "fail"
    assert f"slo_success_{group}" in [
        one["name"] for one in told["checks"] if not one["passed"]
    ]


def test_a_failed_cure_check_fails(build, settings):
    """The SLO alone does not convince."""
    wanted = with_checks(settings, "cured", orders_taken_elsewhere={"at_least": 20})
    told = verdict.judge(build(settings=wanted))

    assert told["verdict"] == "fail"


def test_a_broken_invariant_fails(build):
    """No latency makes up for a double charge."""
    broken = [{"name": "no_double_charge", "passed": False, "observed": 1}]

    assert verdict.judge(build(invariants=broken))["verdict"] == "fail"


def test_an_invariant_that_does_not_count_is_only_shown(build):
    """A sick shop may leave orders stuck; it must not charge twice."""
    shown = [{"name": "no_order_stuck", "passed": False, "counts": False}]

    assert verdict.judge(build(invariants=shown))["verdict"] == "pass"


def test_sick_passes_when_it_suffers(build, world, settings):
    """Thirty points fewer checkouts of the affected, and every disease seen."""
    for n in range(40):
        world.journey(1021 + n / 4, 10_000, outcome="failure")
    told = verdict.judge(build(settings=with_checks(settings, "sick")))

    assert told["verdict"] == "pass"


def test_sick_fails_when_it_is_well(build, settings):
    """An experiment that hurts nobody has not shown the disease."""
    told = verdict.judge(build(settings=with_checks(settings, "sick")))

    assert told["verdict"] == "fail"


def test_refusing_everybody_quickly_is_no_success(build, world):
    """A good p95 made of refusals is red."""
    for n in range(60):
        world.journey(1021 + n / 4, 1, outcome="failure", reason="breaker_open")
    told = verdict.judge(build())
    names = {one["name"]: one["passed"] for one in told["checks"]}

    assert told["verdict"] == "fail"
    assert names["slo_p95_affected"]
    assert not names["goodput"]


def test_sick_and_cured_stand_side_by_side(build, settings):
    """One result for each scenario and seed, with both profiles in it."""
    cured = verdict.judge(build())
    sick = {**cured, "profile": "sick", "verdict": "fail"}
    told = verdict.document("demo", "slow-database", [sick, cured])

    assert set(told) == {
        "schema",
        "command",
        "valid",
        "invalid_reasons",
        "verdict",
        "results",
    }
    assert (told["schema"], told["command"]) == ("seawall/1", "demo")
    assert told["verdict"] == "fail"
    assert set(told["results"][0]["profiles"]) == {"sick", "cured"}
    assert verdict.exit_code(told) == 1


def test_one_invalid_profile_makes_all_invalid(build):
    """Half a comparison is none."""
    cured = verdict.judge(build())
    sick = {**cured, "profile": "sick", "valid": False, "verdict": None}
    sick["invalid_reasons"] = ["a span was lost"]
    told = verdict.document("demo", "slow-database", [sick, cured])

    assert told["invalid_reasons"] == ["sick: a span was lost"]
    assert told["verdict"] is None
    assert verdict.exit_code(told) == 3


def test_no_run_is_no_pass():
    """An empty list of runs proves nothing."""
    assert verdict.exit_code(verdict.document("demo", "slow-database", [])) == 3


def test_the_file_asks_for_checks_that_there_are(settings):
    """A check that is misspelt would never be missed."""
    assert set(settings.checks["sick"]) <= set(DISEASES)
    assert set(settings.checks["cured"]) <= set(CURES)


def test_the_crowds_come_with_the_fault(settings, build, times):
    """One in its middle, one at its end; that of the exercise only fills pools."""
    start_s = times.timeline.start_s

    assert [flash["at_s"] for flash in settings.flashes()] == [3, 30, 40]
    assert build().scene().flashes_s == [start_s + 30, start_s + 40]


def test_a_wrong_profile_is_refused(configuration):
    """Mixed is something a lab can be, but not what a run is judged as."""
    with pytest.raises(SettingsError, match="sick or cured, not 'mixed'"):
        Settings.from_configuration({**configuration, "profile": "mixed"})
