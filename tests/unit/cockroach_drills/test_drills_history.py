"""What was rehearsed when, and what is overdue."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.drills import HistoryError, load_targets
from cockroach.drills.history import Rehearsal, recall, remember, standing

DAY = 86400.0
NOW = 1000 * DAY
NAME = "hot-standby"
TARGET = replace(load_targets()[NAME], rehearse_every_days=90)


def _run(days_ago, *, valid=True, verdict="pass"):
    return Rehearsal(
        at=NOW - days_ago * DAY,
        name=NAME,
        fault="kill",
        valid=valid,
        verdict=verdict,
        rpo_s=0.0,
        lost_rows=0,
        rto_s=0.6,
    )


def _standing(*runs, target=TARGET):
    (due,) = standing({NAME: target}, runs, now=NOW)
    return due


@pytest.mark.parametrize(
    ("runs", "word", "overdue"),
    [
        ([], "never", True),
        ([_run(89)], "in time", False),
        ([_run(90)], "in time", False),
        ([_run(90.01)], "overdue", True),
        ([_run(200), _run(10)], "in time", False),
        # A failure is no rehearsal, and what was good before is not good any more.
        ([_run(10, verdict="fail")], "failed", True),
        ([_run(20), _run(10, verdict="fail")], "failed", True),
        ([_run(20, verdict="fail"), _run(10)], "in time", False),
        # What proved nothing neither helps nor harms.
        ([_run(1, valid=False, verdict=None)], "never", True),
        ([_run(10), _run(1, valid=False, verdict=None)], "in time", False),
        ([_run(100), _run(1, valid=False, verdict=None)], "overdue", True),
    ],
)
def test_the_table(runs, word, overdue):
    """Each course of rehearsals stands as a careful owner would say."""
    due = _standing(*runs)

    assert (word, overdue) == (due.standing, due.overdue)


def test_what_is_not_in_use_is_not_due():
    """A solution that nobody relies on may rest."""
    due = _standing(target=replace(TARGET, in_use=False))

    assert ("not in use", False) == (due.standing, due.overdue)


def test_days_left_are_told():
    """A person sees how long there is, or how long it has been."""
    assert 80 == pytest.approx(_standing(_run(10)).due_in_days)
    assert -10 == pytest.approx(_standing(_run(100)).due_in_days)
    assert _standing().due_in_days is None


def test_a_run_from_the_future_silences_nothing_for_years():
    """A clock that was put back counts the run as one of now."""
    assert 90 == pytest.approx(_standing(_run(-5000)).due_in_days)


@given(st.lists(st.floats(0, 400), max_size=8), st.floats(0, 400))
def test_time_alone_makes_due_and_a_good_run_ends_it(days, later):
    """Waiting never helps; a rehearsal that passes today always does."""
    runs = [_run(one) for one in days]
    (now,) = standing({NAME: TARGET}, runs, now=NOW)
    (then,) = standing({NAME: TARGET}, runs, now=NOW + later * DAY)

    assert not (now.overdue and not then.overdue)
    assert not _standing(*runs, _run(0)).overdue


def test_history_is_kept(tmp_path):
    """What was remembered is recalled in order, and is nobody else's to read."""
    path = tmp_path / "drills" / "history.jsonl"
    remember(path, _run(1))
    remember(path, _run(5))

    assert (_run(5), _run(1)) == recall(path)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_a_line_cut_off_by_a_crash_is_left_out_and_overwritten(tmp_path):
    """Half a line costs that run, and no other."""
    path = tmp_path / "history.jsonl"
    remember(path, _run(5))
    whole = path.read_text()
    path.write_text(whole + whole[:30])

    assert (_run(5),) == recall(path)
    remember(path, _run(1))
    assert (_run(5), _run(1)) == recall(path)


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"at": 1}', '{"who": 1}'])
def test_a_line_of_somebody_else_is_refused(tmp_path, line):
    """History that cannot be read must not look like no history."""
    path = tmp_path / "history.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(HistoryError, match="line 1"):
        recall(path)


def test_no_history_is_empty(tmp_path):
    """Before the first drill there is nothing to tell."""
    assert () == recall(tmp_path / "none")
