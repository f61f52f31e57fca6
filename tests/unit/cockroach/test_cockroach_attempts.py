"""When lost work is run again, and that a doubt is never forgotten."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach import errors
from cockroach.attempts import Attempts
from resilience import BudgetConfig, Deadline, RetryRefused, RetryScheduled, TokenBucket
from resilience.testing import FakeClock, RecordingListener

CONFLICT = errors.TransactionConflictError("lost", sqlstate="40001")
GONE = errors.ConnectionLostError("eu", "connection_lost", sqlstate="57P01")
DOUBT = errors.AmbiguousCommitError("eu", sqlstate="40003")
TAKEN = errors.ConstraintError("taken", sqlstate="23505", constraint="orders_key")
REFUSED = errors.DatabaseUnavailableError("eu", "breaker_open")
SLOW = errors.StatementTimeoutError("slow", sqlstate="57014")


def attempts(**values) -> Attempts:
    options = {
        "at_most": 3,
        "budget": None,
        "deadline": None,
        "rng": random.Random(1),
    } | values
    return Attempts("database@eu", "transaction", **options)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (CONFLICT, True),
        (GONE, True),
        (errors.ConnectRefusedError("eu", "connect_failed"), True),
        (errors.StalePlanError("eu", "stale_plan"), True),
        (DOUBT, False),
        (TAKEN, False),
        (REFUSED, False),
        (SLOW, False),
        (errors.TooManyConnectionsError("eu", "too_many_connections"), False),
        (errors.LicenceThrottledError("eu", "licence_throttled"), False),
        (errors.WrongRegionError("no", sqlstate="XCHR1"), False),
        (errors.PoolExhaustedError("eu-a", waited_s=1, limit=2), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_run_again(error, again) -> None:
    """Only what surely left nothing behind is run again by itself."""
    one = attempts()
    if again:
        assert 0.0 <= one.after(error) <= 0.02
    else:
        with pytest.raises(type(error)) as told:
            one.after(error)
        assert error is told.value


def test_conflicts_end_with_how_often_and_why() -> None:
    """After the last attempt the error says how many there were."""
    listener = RecordingListener()
    one = attempts(listener=listener)
    one.after(CONFLICT)
    one.after(CONFLICT)
    with pytest.raises(errors.OutOfRetriesError) as told:
        one.after(CONFLICT)

    assert (3, "40001", CONFLICT) == (
        told.value.attempts,
        told.value.sqlstate,
        told.value.__cause__,
    )
    assert [1, 2] == [event.attempt for event in listener.of(RetryScheduled)]
    assert ["attempts"] == [event.reason for event in listener.of(RetryRefused)]


def test_a_spent_budget_ends_the_retries_of_everybody() -> None:
    """Five lost attempts leave a bucket of ten half empty: no more retries."""
    bucket = TokenBucket(BudgetConfig(max_tokens=10))
    listener = RecordingListener()
    granted = 0
    for _ in range(20):
        with contextlib.suppress(errors.OutOfRetriesError):
            attempts(budget=bucket, at_most=10, listener=listener).after(CONFLICT)
            granted += 1

    assert 4 == granted
    assert {"budget"} == {event.reason for event in listener.of(RetryRefused)}


def test_no_attempt_past_the_deadline() -> None:
    """A wait that the caller would not survive is not begun."""
    clock = FakeClock()
    one = attempts(deadline=Deadline.after(-1, clock=clock), at_most=100)
    with pytest.raises(errors.OutOfRetriesError, match="deadline"):
        one.after(CONFLICT)


def test_a_doubt_asks_for_a_look_and_not_for_a_repetition() -> None:
    """Only when the look found nothing may the work run again."""
    one = attempts(resolvable=True)
    one.after(DOUBT)
    assert one.doubt is DOUBT
    one.after(REFUSED)  # the look failed: another look, not another run
    assert one.doubt is DOUBT
    one.missing()
    assert one.doubt is None


def test_a_taken_key_after_a_doubt_is_looked_at() -> None:
    """The first attempt came through late: its key is there, so look again."""
    one = attempts(resolvable=True, at_most=5)
    one.after(DOUBT)
    one.missing()
    one.after(TAKEN)

    assert one.doubt is DOUBT


def test_the_last_attempt_is_looked_at_too() -> None:
    """With one attempt there is one look, and no second run."""
    one = attempts(resolvable=True, at_most=1)
    one.after(DOUBT)
    with pytest.raises(errors.AmbiguousCommitError):
        one.missing()


FAILURES = st.sampled_from([CONFLICT, GONE, DOUBT, TAKEN, REFUSED, SLOW])


@given(st.lists(st.tuples(FAILURES, st.booleans()), max_size=12), st.integers(1, 6))
def test_a_doubt_is_never_reported_as_nothing_happened(steps, at_most) -> None:
    """Whatever follows a lost COMMIT, the error says that it may have happened."""
    one = attempts(resolvable=True, at_most=at_most)
    doubted = False
    raised: errors.DatabaseError | None = None
    for failure, answers in steps:
        doubted = doubted or failure is DOUBT
        try:
            one.after(failure)
            if one.doubt is not None and answers:
                one.missing()
        except errors.DatabaseError as error:
            raised = error
            break
        assert one.lost <= at_most + 1
    if raised is not None:
        assert doubted == isinstance(raised, errors.AmbiguousCommitError)
