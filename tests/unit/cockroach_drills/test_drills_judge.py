"""The judge: acknowledgements against what is there, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.drills.judge import judge

FAULT = 10.0


def _judge(acknowledged, restored, *, sent=(), back=12.0, rpo=5.0, rto=60.0):
    return judge(
        acknowledged=acknowledged,
        sent=frozenset(sent) | acknowledged.keys(),
        restored=restored,
        expected=str,
        fault_at=FAULT,
        back_at=back,
        target_rpo_s=rpo,
        target_rto_s=rto,
    )


def _rows(*numbers):
    return [(number, str(number)) for number in numbers]


ACKNOWLEDGED = {1: 1.0, 2: 6.0, 3: 9.0, 4: 13.0}


@pytest.mark.parametrize(
    ("restored", "options", "verdict", "rpo", "lost"),
    [
        (_rows(1, 2, 3, 4), {}, "pass", 0.0, 0),
        (_rows(1, 2, 4), {}, "pass", 1.0, 1),
        (_rows(1, 4), {}, "pass", 4.0, 2),
        (_rows(4), {}, "fail", 9.0, 3),
        (_rows(), {}, "fail", 12.0, 4),
        # A second cut short: one row is enough where nothing may be lost.
        (_rows(1, 2, 4), {"rpo": 0.0}, "fail", 1.0, 1),
        # Lost after the fault: an old server went on to acknowledge.
        (_rows(1, 2, 3), {"rpo": 0.0}, "fail", 0.0, 1),
        # Not acknowledged, yet there: allowed.
        (_rows(1, 2, 3, 4, 5), {"sent": {5}}, "pass", 0.0, 0),
        # Nobody wrote it.
        (_rows(1, 2, 3, 4, 5), {}, "fail", 0.0, 0),
        # Twice.
        (_rows(1, 2, 3, 4, 4), {}, "fail", 0.0, 0),
        # There, with somebody else's content: as good as lost.
        ([*_rows(1, 2, 4), (3, "other")], {}, "fail", 1.0, 1),
        # Not acknowledged, and damaged.
        ([*_rows(1, 2, 3, 4), (5, "other")], {"sent": {5}}, "fail", 0.0, 0),
        (_rows(1, 2, 3, 4), {"back": None}, "fail", 0.0, 0),
        (_rows(1, 2, 3, 4), {"rto": 1.9}, "fail", 0.0, 0),
        (_rows(1, 2, 3, 4), {"rto": 2.0}, "pass", 0.0, 0),
    ],
)
def test_the_table(restored, options, verdict, rpo, lost):
    """Each kind of loss, damage and delay has the verdict and figures it deserves."""
    found = _judge(ACKNOWLEDGED, restored, **options)

    assert (verdict, rpo, lost) == (found.verdict, found.rpo_s, len(found.lost))
    assert (verdict == "fail") == bool(found.reasons)


def test_the_reasons_name_rows():
    """A person reads which rows, not only how many."""
    found = _judge(ACKNOWLEDGED, [*_rows(1, 2, 3, 4, 4, 9), (9, "x")], rto=1.0)

    assert "1 rows were never written: 9" in found.reasons
    assert "2 rows are there more than once: 4, 9" in found.reasons
    assert any("after 2.0 s, target 1 s" in one for one in found.reasons)


@given(
    st.dictionaries(st.integers(0, 40), st.floats(0, 20), max_size=30),
    st.sets(st.integers(0, 40)),
    st.floats(0, 20),
)
def test_what_was_lost_is_what_is_missing(acknowledged, there, target):
    """Lost is acknowledged less restored; the RPO reaches back to the first of them."""
    restored = _rows(*sorted(there & acknowledged.keys()))
    found = _judge(acknowledged, restored, rpo=target)
    missing = acknowledged.keys() - there

    assert set(found.lost) == missing
    if missing:
        first = min(acknowledged[number] for number in missing)
        last = max(acknowledged[number] for number in missing)
        assert found.rpo_s == max(FAULT, last) - first
    else:
        assert found.rpo_s == 0
    bad = found.rpo_s > target or (bool(missing) and target == 0)
    assert found.verdict == ("fail" if bad else "pass")


@given(
    st.dictionaries(st.integers(0, 40), st.floats(0, 20), min_size=1, max_size=30),
    st.data(),
)
def test_losing_more_is_never_judged_better(acknowledged, data):
    """To take one more row away makes no figure smaller and no failure a pass."""
    there = data.draw(st.sets(st.sampled_from(sorted(acknowledged)), min_size=1))
    taken = data.draw(st.sampled_from(sorted(there)))
    more = _judge(acknowledged, _rows(*sorted(there)))
    less = _judge(acknowledged, _rows(*sorted(there - {taken})))

    assert less.rpo_s >= more.rpo_s
    assert len(less.lost) == len(more.lost) + 1
    assert not (more.verdict == "fail" and less.verdict == "pass")
