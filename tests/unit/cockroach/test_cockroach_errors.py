"""Each SQLSTATE becomes the error that says what to do about it."""

from __future__ import annotations

import random

import pytest

from cockroach import errors, sqlstates
from cockroach.attempts import pause_s


class DriverError(Exception):
    """What a driver raises, reduced to what is looked at."""

    def __init__(self, sqlstate: str | None, text: str = "no\nDETAIL: a value") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


CASES = [
    # sqlstate, connection gone, could have committed, error, what a runner may do
    ("40001", False, False, errors.TransactionConflictError, "whole"),
    ("40P01", False, True, errors.TransactionConflictError, "whole"),
    ("55P03", False, True, errors.TransactionConflictError, "whole"),
    ("40003", False, False, errors.AmbiguousCommitError, "resolve"),
    ("40003", False, True, errors.AmbiguousCommitError, "resolve"),
    ("08001", False, True, errors.DatabaseUnavailableError, "never"),
    ("08004", False, True, errors.DatabaseUnavailableError, "never"),
    ("57P03", False, False, errors.DatabaseUnavailableError, "never"),
    ("53300", False, False, errors.TooManyConnectionsError, "never"),
    ("XXC02", False, False, errors.LicenceThrottledError, "never"),
    ("57P01", True, False, errors.ConnectionLostError, "whole"),
    ("57P01", True, True, errors.AmbiguousCommitError, "resolve"),
    ("57P02", True, False, errors.ConnectionLostError, "whole"),
    ("57P05", True, False, errors.ConnectionLostError, "whole"),
    ("25P03", True, False, errors.ConnectionLostError, "whole"),
    ("08000", False, False, errors.ConnectionLostError, "whole"),
    ("08003", False, False, errors.ConnectionLostError, "whole"),
    ("08006", False, False, errors.ConnectionLostError, "whole"),
    ("08006", False, True, errors.AmbiguousCommitError, "resolve"),
    ("08007", False, True, errors.AmbiguousCommitError, "resolve"),
    (None, True, False, errors.ConnectionLostError, "whole"),
    (None, True, True, errors.AmbiguousCommitError, "resolve"),
    ("57014", False, True, errors.StatementTimeoutError, "never"),
    ("23505", False, True, errors.ConstraintError, "never"),
    ("23514", False, False, errors.ConstraintError, "never"),
    ("XCHR1", False, False, errors.WrongRegionError, "never"),
    ("XCHR2", False, True, errors.WrongRegionError, "never"),
    ("0A000", False, False, errors.StatementError, "never"),
    ("42P01", False, False, errors.StatementError, "never"),
    (None, False, False, errors.StatementError, "never"),
]


@pytest.mark.parametrize(("state", "lost", "may_commit", "expected", "repeat"), CASES)
def test_translation(state, lost, may_commit, expected, repeat) -> None:
    """The kind follows from the state, the connection, and what was under way."""
    made = sqlstates.translate(
        DriverError(state), region="eu", lost=lost, may_commit=may_commit
    )

    assert expected is type(made)
    assert (state, repeat) == (made.sqlstate, made.repeat)
    assert "a value" not in str(made)


def test_the_whole_table_is_tried() -> None:
    """No SQLSTATE of the table is without a case."""
    assert set(sqlstates.TABLE) <= {case[0] for case in CASES}


@pytest.mark.parametrize("may_commit", [False, True])
def test_a_stale_plan_is_run_again(may_commit) -> None:
    """Nothing was done: after a change of the table another connection knows it."""
    text = "cached plan must not change result type"
    made = sqlstates.translate(
        DriverError("0A000", text), region="eu", lost=False, may_commit=may_commit
    )

    assert (errors.StalePlanError, "whole") == (type(made), made.repeat)


@pytest.mark.parametrize(
    ("state", "text", "expected"),
    [
        ("53300", "sorry", errors.TooManyConnectionsError),
        (
            None,
            "sorry, too many clients already",
            errors.TooManyConnectionsError,
        ),
        (None, "connection timeout expired", errors.ConnectRefusedError),
        ("57P03", "the database system is starting up", errors.ConnectRefusedError),
    ],
)
def test_a_refused_connection(state, text, expected) -> None:
    """A full server is left alone, another gateway may be asked otherwise."""
    assert expected is type(sqlstates.refused(DriverError(state, text), region="eu"))


def test_every_error_has_a_grpc_status() -> None:
    """A service's edge can translate any of them without knowing it."""
    import grpc

    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.DatabaseError)
    ]

    assert len(kinds) > 8
    for kind in kinds:
        assert kind.status in grpc.StatusCode.__members__


def test_the_pause_has_full_jitter_and_a_cap() -> None:
    """Delays spread over the whole range from 0, which doubles up to half a second."""
    rng = random.Random(7)
    first = [pause_s(1, rng) for _ in range(500)]
    late = [pause_s(20, rng) for _ in range(500)]

    assert 0 <= min(first) < 0.002
    assert 0.018 < max(first) <= 0.02
    assert 0.48 < max(late) <= 0.5
