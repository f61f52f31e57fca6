"""Each SQLSTATE becomes the error that says what to do about it."""

from __future__ import annotations

import random

import pytest

from cockroach import errors
from cockroach.transaction import pause_s


class DriverError(Exception):
    """What a driver raises, reduced to what is looked at."""

    def __init__(self, sqlstate: str | None, text: str = "no\nDETAIL: a value") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


CASES = [
    # sqlstate, connection gone, could have committed, error
    ("40001", False, False, errors.TransactionConflictError),
    ("40P01", False, True, errors.TransactionConflictError),
    ("55P03", False, True, errors.TransactionConflictError),
    ("40003", False, False, errors.AmbiguousCommitError),
    ("08001", False, True, errors.DatabaseUnavailableError),
    ("53300", False, False, errors.DatabaseUnavailableError),
    ("57P01", True, False, errors.ConnectionLostError),
    ("57P01", True, True, errors.AmbiguousCommitError),
    ("08006", False, False, errors.ConnectionLostError),
    ("08006", False, True, errors.AmbiguousCommitError),
    (None, True, False, errors.ConnectionLostError),
    (None, True, True, errors.AmbiguousCommitError),
    ("57014", False, True, errors.StatementTimeoutError),
    ("23505", False, True, errors.ConstraintError),
    ("23514", False, False, errors.ConstraintError),
    ("42P01", False, False, errors.StatementError),
    (None, False, False, errors.StatementError),
]


@pytest.mark.parametrize(("state", "lost", "may_commit", "expected"), CASES)
def test_translation(state, lost, may_commit, expected) -> None:
    """The kind follows from the state, the connection, and what was under way."""
    made = errors.translate(
        DriverError(state), region="eu", lost=lost, may_commit=may_commit
    )

    assert expected is type(made)
    assert state == made.sqlstate
    assert "a value" not in str(made)


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
