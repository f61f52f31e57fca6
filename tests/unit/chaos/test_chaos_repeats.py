"""Several runs together: medians, ranges, and what only the pool can prove."""

import json
from pathlib import Path

import pytest

from chaos import pooled, ranges
from chaos.journeys import Journey

SLO = {
    "success_ratio": 0.995,
    "pooled_success_ratio": 0.999,
    "p95_ms": 750,
    "max_stale_ms": 30_000,
}


def journey(n, *, home="eu", ms=30.0, **given):
    return Journey(
        journey="browse",
        home=home,
        dialled=home,
        away=False,
        intended_s=1020 + n / 100,
        sent_s=1020 + n / 100,
        done_s=1020 + n / 100 + ms / 1000,
        latency_ms=ms,
        code="OK",
        outcome=given.pop("outcome", "success"),
        trace_id=f"{home}{n}",
        **given,
    )


def sample(seed, *, affected=400, others=800, planted=(), **slo):
    return pooled.Sample(
        seed=seed,
        region="eu",
        slo={**SLO, **slo},
        journeys=[
            *(journey(n) for n in range(affected)),
            *(journey(n, home="us") for n in range(others)),
            *planted,
        ],
    )


def failed_checks(told):
    return [check["name"] for check in told["checks"] if not check["passed"]]


def test_a_flawless_pool_passes_and_shows_its_size():
    """Each check tells over how many journeys of how many runs it is."""
    told = pooled.judge([sample(seed) for seed in range(7, 12)])

    assert ("pass", 5) == (told["verdict"], told["runs"])
    assert [7, 8, 9, 10, 11] == told["seeds"]
    assert 2000 == told["groups"]["affected"]["journeys"]
    assert 4000 == told["groups"]["others"]["journeys"]
    assert [
        "pooled_success_affected",
        "pooled_p95_affected",
        "pooled_success_others",
        "pooled_p95_others",
    ] == [check["name"] for check in told["checks"]]
    assert "of 2000 journeys of 5 runs" in told["checks"][0]["expected"]


@pytest.mark.parametrize(("failures", "verdict"), [(2, "pass"), (3, "fail")])
def test_one_planted_failure_too_many_fails(failures, verdict):
    """2 of 2002 is 99.9 %, 3 of 2003 is not, and each run alone would have passed."""
    planted = [
        [journey(1000 + n, outcome="failure")] if n < failures else [] for n in range(5)
    ]
    told = pooled.judge(
        [sample(n, planted=bad) for n, bad in zip(range(5), planted, strict=True)]
    )

    assert verdict == told["verdict"]
    assert (["pooled_success_affected"] if verdict == "fail" else []) == (
        failed_checks(told)
    )


def test_a_failing_check_says_where_to_look():
    """It names traces, and the seeds in whose stores they are."""
    bad = [journey(1000 + n, outcome="failure") for n in range(4)]
    told = pooled.judge([sample(n, planted=bad if n == 3 else []) for n in range(5)])
    check = told["checks"][0]

    assert not check["passed"]
    assert "failed: 4 with seed 3" == check["note"]
    assert ["eu1000", "eu1001", "eu1002", "eu1003"] == list(check["trace_ids"])


def test_an_answer_that_is_too_old_is_a_failure():
    """As it is in a single run."""
    old = [journey(1000 + n, stale_ms=30_001) for n in range(5)]
    told = pooled.judge([sample(n, planted=old if n == 0 else []) for n in range(5)])

    assert ["pooled_success_affected"] == failed_checks(told)


def test_the_groups_are_judged_apart():
    """Many good others hide no slow customer of the region that was hurt."""
    slow = [journey(1000 + n, ms=900.0) for n in range(30)]
    told = pooled.judge([sample(n, planted=slow) for n in range(5)])

    assert ["pooled_p95_affected"] == failed_checks(told)


def test_nobody_in_a_group_proves_nothing():
    """An empty group fails: it is no flawless one."""
    told = pooled.judge([sample(n, affected=0) for n in range(5)])

    assert ["pooled_success_affected", "pooled_p95_affected"] == failed_checks(told)


def test_few_runs_are_shown_and_not_judged():
    """Below five there are numbers, and neither checks nor verdict."""
    bad = [journey(1000 + n, outcome="failure") for n in range(40)]
    told = pooled.judge([sample(n, planted=bad) for n in range(4)])

    assert (None, []) == (told["verdict"], told["checks"])
    assert 160 == told["groups"]["affected"]["failed"]


def test_without_a_bound_of_its_own_the_pool_has_the_runs():
    """An experiment that asks for nothing more is asked for nothing more."""
    bad = [journey(1000 + n, outcome="failure") for n in range(8)]
    samples = [sample(n, planted=bad if n == 0 else []) for n in range(5)]
    for one in samples:
        del one.slo["pooled_success_ratio"]

    assert "pass" == pooled.judge(samples)["verdict"]


@pytest.fixture
def run_dir(tmp_path, times):
    settings = {
        "scenario": "x",
        "profile": "cured",
        "seed": 9,
        "region": "eu",
        "exercise_s": 10,
        "baseline_s": 10,
        "fault_s": 20,
        "after_s": 10,
        "load": {},
        "slo": SLO,
        "validity": {},
        "proof": {},
        "disease": {},
        "steady_state": {},
        "checks": {},
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    document = {"timeline": times.timeline.to_json()}
    (tmp_path / "run.json").write_text(json.dumps(document))
    lived_through = journey(0)
    after = journey(2500)
    (tmp_path / "results.jsonl").write_text(
        "".join(
            json.dumps({key: getattr(one, key) for key in Journey.__slots__}) + "\n"
            for one in (lived_through, after)
        )
    )
    return Path(tmp_path)


def test_a_kept_run_is_read_by_its_fault_window(run_dir):
    """Only those that lived through any of the fault are pooled."""
    found = pooled.read(run_dir)

    assert (9, "eu", ["eu0"]) == (
        found.seed,
        found.region,
        [one.trace_id for one in found.journeys],
    )


def test_a_run_that_was_cut_short_cannot_be_pooled(run_dir):
    """It has no fault window."""
    (run_dir / "run.json").write_text(json.dumps({"timeline": None}))

    with pytest.raises(ValueError, match="did not reach its end"):
        pooled.read(run_dir)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([3.0], (3.0, 3.0, 3.0)),
        ([5.0, 1.0, 3.0], (3.0, 1.0, 5.0)),
        ([1.0, 2.0], (1.5, 1.0, 2.0)),
        ([None, 4.0], (4.0, 4.0, 4.0)),
    ],
)
def test_a_range_is_median_least_and_greatest(given, expected):
    """What was not measured is left out."""
    found = ranges.spread(given)

    assert expected == (found["median"], found["min"], found["max"])


def test_nothing_has_no_range():
    """Neither no runs nor runs without the figure."""
    assert ranges.spread([]) is None
    assert ranges.spread([None]) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.0, None, 2.0], (2.0, 0.0, None)),
        ([None, None, 1.0], (None, 1.0, None)),
        ([None], (None, None, None)),
    ],
)
def test_never_is_longer_than_any_recovery(given, expected):
    """A run that did not recover counts, at the far end."""
    found = ranges.spread(given, never=True)

    assert expected == (found["median"], found["min"], found["max"])


def test_figures_of_groups_stand_beside_those_of_all():
    """What the SLO judges has its range, too."""
    runs = [
        {"p95_ms": ms, "groups": {"affected": {"during": {"p95_ms": 2 * ms}}}}
        for ms in (100.0, 300.0, 200.0)
    ]
    found = ranges.of(runs)

    assert {"median": 200.0, "min": 100.0, "max": 300.0} == found["p95_ms"]
    assert 400.0 == found["affected.p95_ms"]["median"]
    assert "recovery_s" not in found
