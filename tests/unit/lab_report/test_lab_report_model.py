"""What a report says: numbers, sentences, facts, the journey that it shows."""

from __future__ import annotations

import json

import pytest

from lab.report import compare, model, overtime, stored, traces, validity, words
from lab.report.stored import ReportError


def built(*folders):
    return model.build([stored.load(folder) for folder in folders])


def test_three_sentences_tell_both_runs(both):
    """The fault, sick and cured, with the numbers of the verdict."""
    report = built(*both)
    fault, sick, cured = report.sentences

    assert (
        "For 4.0 s, from second 4.0 of the load on, the fault was in force in eu"
        in (fault)
    )
    assert "took 400 ms longer than the distance alone, and 4 ms longer once" in fault
    assert sick.startswith("Sick: ")
    assert "of the checkouts of eu's customers 0.0 %" in sick
    assert "p95 was 10.0 s" in sick
    assert "Cured: 100.0 % of the journeys in the fault succeeded" in cured
    assert "with less than was asked for" in cured


def test_one_profile_alone_says_how_it_was_judged(run, passed):
    """The third sentence is the verdict where there is no second run."""
    report = built(run("sick", **passed))
    checks = report.runs[0].told["checks"]
    seen = sum(check["passed"] for check in checks)

    assert (
        f"{seen} of {len(checks)} checks of the sick profile are seen"
        in (report.sentences[2])
    )
    assert report.sentences[2].endswith("the verdict is pass.")
    assert 1 == len(report.journey)


def test_an_invalid_run_never_claims_anything(run):
    """Invalid comes first, then the numbers as they are."""
    report = built(
        run("sick", valid=False, verdict=None, invalid_reasons=["it rained"])
    )

    assert "This proves nothing, since it is invalid: it rained." == report.sentences[0]
    assert not report.outcome["valid"]
    assert report.outcome["verdict"] is None


def test_an_interrupted_run_has_a_short_report(interrupted):
    """It says where the run ended and why nothing was judged."""
    report = built(interrupted)

    assert (
        "This proves nothing, since it is invalid: the run was interrupted.",
        "It came to second 13 of 50, in the phase 'baseline'.",
        "No figures were judged.",
    ) == report.sentences
    assert [] == list(report.complete)
    assert {"cured": "the run did not reach its end"} == report.series_missing


def test_a_step_that_failed_makes_the_run_invalid(run, passed):
    """The journal is believed as the runner believes it."""
    folder = run("sick", **passed)
    path = folder / "journal.json"
    journal = json.loads(path.read_text())
    journal["run"].append({"status": "failed", "activity": {"name": "recover"}})
    path.write_text(json.dumps(journal))

    assert ["sick: recover: failed"] == built(folder).outcome["invalid_reasons"]


def test_the_same_arrival_is_shown_in_both(both):
    """A checkout that failed sick and succeeded cured, one arrival, with its plan."""
    sick, cured = built(*both).journey

    assert (sick.offset_s, sick.journey.home) == (cured.offset_s, cured.journey.home)
    assert ("failure", "success") == (sick.journey.outcome, cured.journey.outcome)
    assert sick.journey.trace_id != cured.journey.trace_id
    plans = [
        event["attributes"]
        for span in sick.trace["spans"]
        for event in span["events"]
        if event["name"] == "seawall.db.plan"
    ]
    assert "Foreign Scan" in plans[0]["seawall.db.plan.text"]


def test_other_seeds_share_no_arrival(run, passed):
    """Without a common arrival no journey is shown, and the report says why."""
    report = built(run("sick", **passed), run("cured", seed=8, **passed))

    assert [] == list(report.journey)
    assert "the seeds differ" in report.journey_missing
    assert any("the arrivals are not the same" in said for said in report.remarks)


def test_series_are_read_again_where_the_verdict_has_none(run, passed):
    """A verdict from before series were stored gives the same plots."""
    folder = run("cured", **passed)
    path = folder / "verdict.json"
    told = json.loads(path.read_text())
    series = told.pop("series")
    path.write_text(json.dumps(told))

    assert (series, "") == stored.series_of(stored.load(folder))


def test_missing_traces_leave_plots_out_and_say_so(run, passed):
    """Neither stored series nor spans: nothing is drawn, with the reason."""
    folder = run("cured", traces=False, **passed, series=None)
    report = built(folder)

    assert {"cured": None} == report.series
    assert {"cured": "the run's folder has no traces.db"} == report.series_missing
    assert {} == report.evidence
    assert report.journey[0].trace is None


def test_a_store_that_is_no_database_is_said(run, passed):
    """A broken store takes the pictures, not the report."""
    folder = run("cured", traces=False, **passed, series=None)
    (folder / "traces.db").write_text("no database" * 200)
    report = built(folder)

    assert "cannot be read" in report.series_missing["cured"]
    assert any("cannot be read" in said for said in report.left_out)


@pytest.mark.parametrize(
    ("file", "change", "wrong"),
    [
        (
            "summary.json",
            {"stalls": [{"at_s": 1_700_000_005.0, "ms": 900}]},
            "the machine did not stall",
        ),
        (
            "run.json",
            {"lost": {"services": 3, "collector": 0, "late": 0}},
            "no span was lost",
        ),
        (
            "run.json",
            {"lost": {"services": 0, "collector": 0, "late": 2}},
            "no span came late",
        ),
        (
            "verdict.json",
            {"load": {"offered": 66, "sent": 66, "late": 20, "max_lag_ms": 90}},
            "the load was sent on time",
        ),
    ],
)
def test_a_fact_that_does_not_hold_is_marked(run, file, change, wrong):
    """Each condition is measured against the bound that the verdict uses."""
    folder = run("sick")
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    facts = validity.facts(stored.load(folder))

    assert [wrong] == [fact.name for fact in facts if fact.holds is False]


@pytest.mark.parametrize(
    ("proof", "observed", "needed"),
    [
        (
            {"times": 2.1, "needed": "at least 1.4 times are needed", "wrong": []},
            "2.1 times the baseline",
            "at least 1.4 times are needed",
        ),
        (
            {"looks": 19, "added": ["sql-us-to-eu-c"], "wrong": []},
            "19 looks, 1 links added",
            "",
        ),
    ],
)
def test_a_run_without_a_fault_tells_what_was_counted(run, proof, observed, needed):
    """A peak by its journeys, a scaler by its looks; neither in milliseconds."""
    folder = run("sick", proofs=dict.fromkeys(("in_force", "still_in_force"), proof))
    facts = validity.facts(stored.load(folder))
    first, second, third = facts[:3]

    assert (True, observed, needed) == (first.holds, first.observed, first.needed)
    assert second.holds
    assert (False, "not measured") == (third.holds, third.observed)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"stress": {"times": 2}, "proof": {"gone_at_most_times": 1}},
            "was 2 times",
        ),
        ({"scaler": {"every_s": 1}, "proof": {}}, "a scaler was at work"),
        ({"stress": {"times": 9}}, "in force in eu, under 9 times the usual load"),
    ],
)
def test_what_was_done_is_said_as_it_was(run, change, says):
    """A fault is called one, and a peak or a scaler is not."""
    folder = run("sick")
    path = folder / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    assert says in words.fault(stored.load(folder))


def test_facts_of_a_good_run_all_hold(run):
    """Measured milliseconds, journeys on time, spans, stalls, load of the machine."""
    facts = {f.name: f for f in validity.facts(stored.load(run("sick")))}

    in_force = facts["the fault was in force when it began"]
    assert "400 to 400 ms over the distance, 2 links" == in_force.observed
    assert "at least 300 ms on every link" == in_force.needed
    assert "66 of 66" in facts["the load was sent on time"].observed
    assert "42.5 % before, 45.5 % in the fault" == (
        facts["the machine was not too busy before the fault"].observed
    )
    assert {True} == {fact.holds for fact in facts.values()}


def test_the_command_repeats_what_the_environment_said(both):
    """Settings that differ from the file's are in the command."""
    command = built(*both).command

    assert command.endswith("seawall chaos run slow-database --profile both --seed 7")
    assert "SEAWALL_FAULT_S=4 " in command
    assert "SEAWALL_FAULT_REGION" not in command


def test_the_newest_of_each_profile_belong_together(run, runs):
    """Another seed's newer run of one profile is not mixed with older ones."""
    run("sick", name="20260101-000000-slow-database-sick")
    run("cured", name="20260101-000100-slow-database-cured", seed=8)
    run("cured", name="20260101-000200-slow-database-cured")
    found = stored.newest(runs)

    assert ["sick", "cured"] == [one.profile for one in found]
    assert "20260101-000200-slow-database-cured" == found[1].folder.name


def test_what_cannot_stand_together_is_refused(both):
    """Three runs, or two experiments, are no report."""
    loaded = [stored.load(folder) for folder in (*both, both[0])]
    with pytest.raises(ReportError, match="these are 3"):
        model.build(loaded)
    path = both[0] / "verdict.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "scenario": "other-scenario"})
    )
    with pytest.raises(ReportError, match="different experiments"):
        built(*both)


def test_two_runs_of_one_profile_are_compared(run, passed):
    """Every figure with its difference, and the checks that changed their answer."""
    first = run("cured", name="a", **passed)
    second = run("cured", name="b", **{**passed, "recovery_s": 3.0})
    path = second / "verdict.json"
    told = json.loads(path.read_text())
    told["during"]["success_ratio"] = 0.95
    flipped = told["checks"][0]
    flipped["passed"] = not flipped["passed"]
    path.write_text(json.dumps(told))
    report = built(first, second)
    figures = {one.name: one for one in report.comparison.figures}

    assert ["A (cured)", "B (cured)"] == [one.label for one in report.runs]
    assert "-5.0 points" == figures["success, during"].shown[2]
    assert [flipped["name"]] == [one.name for one in report.comparison.changed]
    assert {"A (cured)", "B (cured)"} == set(report.outcome["results"][0]["profiles"])
    before = {True: "passed", False: "failed"}
    assert before[flipped["passed"]] == report.comparison.changed[0].second


def test_a_comparison_without_change_is_empty(run, passed):
    """The same figures differ by nothing."""
    folder = run("sick", **passed)
    loaded = stored.load(folder)
    found = compare.compare(loaded, loaded)

    assert () == found.changed
    assert {"0", "-"} >= {one.shown[2] for one in found.figures}


def test_shares_of_a_second_add_up():
    """Failed and degraded are percents of what ended in the second."""
    row = {"success_ratio": 0.75, "degraded_ratio": 0.5}

    assert (25.0, 50.0) == (
        overtime.failed_percent(row),
        overtime.degraded_percent(row),
    )
    nobody = {"success_ratio": None, "degraded_ratio": None}
    assert (0.0, 0.0) == (
        overtime.failed_percent(nobody),
        overtime.degraded_percent(nobody),
    )


def test_a_trace_is_carried_within_its_bound(both, monkeypatch):
    """What does not fit is counted, and long text is cut with a word about it."""
    monkeypatch.setattr(traces, "MAX_SPANS", 2)
    monkeypatch.setattr(traces, "MAX_TEXT", 10)
    sick, _ = built(*both).journey

    assert 2 == len(sick.trace["spans"])
    assert sick.trace["left_out"] > 0
    method = sick.trace["spans"][1]["attributes"]["rpc.method"]
    assert "shop.v1.Or ... 15 characters left out" == method


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({}, {("eu", "checkout")}),
        ({"region": "us"}, {("us", "checkout")}),
        ({"region": "eu", "affected_journeys": ["browse"]}, {("eu", "browse")}),
    ],
)
def test_the_journey_that_is_shown_is_of_the_affected(run, change, shown):
    """Of their home and their kind, as the experiment declares whom it hits."""
    folder = run("sick")
    path = folder / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    found = traces._affected(stored.load(folder))

    assert shown == {(one.home, one.journey) for one in found}


def test_everybody_is_affected_where_no_region_is_named(run):
    """An experiment that hits all shows a journey of any of them."""
    folder = run("sick")
    for name in ("settings.json", "run.json"):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "region": ""}))
    report = stored.load(folder)

    assert {"us", "eu", "asia"} == {one.home for one in traces._affected(report)}
    assert "'s customers" not in words.lived(report)
