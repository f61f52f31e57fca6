"""Rounds judged together, and what grows with the data extended."""

from __future__ import annotations

import pytest

from cockroach.drills import load_targets
from cockroach.drills.growth import extrapolate
from cockroach.drills.judge import judge
from cockroach.drills.plan import Outcome, Plan
from cockroach.drills.run import result

TARGET = load_targets()["backup-restore"]
MB = 10**6


def _outcome(*, rows=10, size=10 * MB, restore=1.0, rto=2.0, lost=(), doubts=()):
    acknowledged = dict.fromkeys(range(rows), 1.0)
    judgement = judge(
        acknowledged=acknowledged,
        sent=acknowledged.keys(),
        restored=[(n, str(n)) for n in range(rows) if n not in lost],
        expected=str,
        fault_at=10.0,
        back_at=None if rto is None else 10.0 + rto,
        target_rpo_s=TARGET.scaled_rpo_s,
        target_rto_s=TARGET.rto_s,
    )
    return Outcome(
        rows=rows,
        size_bytes=size,
        acknowledged=rows,
        judgement=judgement,
        recovery_s=restore,
        phases=[{"name": "restore", "start_s": 0.0, "seconds": restore}],
        trace_id="0" * 32,
        doubts=doubts,
    )


def _result(*outcomes):
    return result("backup-restore", target=TARGET, plan=Plan(), outcomes=list(outcomes))


def test_a_result_has_what_the_issue_asks_for():
    """The eight keys are there, and the scale beside them."""
    found = _result(_outcome())
    keys = "name target_rpo_s rpo_s lost_rows target_rto_s rto_s phases verdict"

    assert set(keys.split()) <= found.keys()
    assert 24.0 == found["target_rpo_s"]
    assert {
        "time_scale": 3600,
        "promised_rpo_s": 86400,
        "promised_interval_s": 86400,
        "interval_s": 24.0,
    } == found["scale"]


def test_the_worst_of_each_figure_is_told():
    """A good round does not hide a bad one."""
    found = _result(_outcome(lost={1}, rto=1.0), _outcome(rto=3.0))

    assert (9.0, 1, 3.0) == (found["rpo_s"], found["lost_rows"], found["rto_s"])
    assert "pass" == found["verdict"]


def test_one_round_that_never_came_back_fails_the_drill():
    """Without a way back there is no time to tell and nothing to extend."""
    found = _result(_outcome(), _outcome(rto=None, size=20 * MB))

    assert ("fail", None, None) == (found["verdict"], found["rto_s"], found["far"])
    assert ["10 rows: writing never worked again"] == found["reasons"]


def test_a_round_that_proves_nothing_makes_the_drill_invalid():
    """A fault that did not bite is no success, and no failure either."""
    found = _result(_outcome(), _outcome(doubts=("the server still answered",)))

    assert (False, None) == (found["valid"], found["verdict"])
    assert ["10 rows: the server still answered"] == found["invalid_reasons"]


def test_a_loss_that_was_shown_stays_one():
    """A round that proves nothing takes no proof away, and proves no loss itself."""
    lost, doubted = _outcome(rto=None), _outcome(rows=20, doubts=("too few rows",))
    found = _result(lost, doubted)
    both = _result(_outcome(), _outcome(rto=None, doubts=("too few rows",)))

    assert (True, "fail", []) == (
        found["valid"],
        found["verdict"],
        found["invalid_reasons"],
    )
    assert [
        "10 rows: writing never worked again",
        "20 rows: too few rows (no proof)",
    ] == found["reasons"]
    assert (False, None) == (both["valid"], both["verdict"])


def test_what_grows_is_extended_and_the_rest_is_added():
    """Ten gigabytes at 20 s each, beside the second that does not grow."""
    small = _outcome(size=100 * MB, restore=3.0, rto=4.0)
    large = _outcome(size=200 * MB, restore=5.0, rto=6.0)
    far = _result(small, large)["far"]

    assert far == {
        "gigabytes": 10.0,
        "rto_s": pytest.approx(1.0 + 1.0 + 200.0),
        "seconds_per_gb": pytest.approx(20.0),
        "grows": True,
        "within_target": True,
    }


def test_what_does_not_grow_is_not_made_to_shrink():
    """A larger size that took less is noise: no negative slope is extended."""
    found = extrapolate([(10 * MB, 2.0), (100 * MB, 1.5)], gigabytes=10)

    assert found is not None
    assert (2.0, 0.0, False) == (found.seconds, found.seconds_per_gb, found.grows)


def test_one_size_tells_nothing_of_growth():
    """A line needs two points."""
    assert extrapolate([(10 * MB, 2.0)], gigabytes=10) is None
    assert extrapolate([(10 * MB, 2.0), (10 * MB, 3.0)], gigabytes=10) is None


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": ()},
        {"sizes": (0,)},
        {"rate": 0},
        {"sessions": 17},
        {"day_part": 1.1},
        {"before": -1},
        {"give_up": 0},
    ],
)
def test_a_plan_that_cannot_be_is_refused(change):
    """A plan validates itself."""
    with pytest.raises(ValueError, match=r"sizes|rate|part|times"):
        Plan(**change)
