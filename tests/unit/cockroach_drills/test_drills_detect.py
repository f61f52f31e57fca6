"""When a server counts as lost, and a question that ends."""

from __future__ import annotations

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.drills.detect import Detector, Patience, Probe


def _feed(answers, failures=3):
    detector = Detector(Patience(failures=failures))
    for at, answered in enumerate(answers):
        detector.tell(answered=answered, now=float(at))
    return detector


@pytest.mark.parametrize(
    ("answers", "lost_at"),
    [
        ([], None),
        ([False, False], None),
        ([False, False, False], 2.0),
        ([False, False, True, False, False], None),
        ([True, False, False, True, False, False, False], 6.0),
        # It came back too late: the decision stands, with its time.
        ([False, False, False, True, True], 2.0),
    ],
)
def test_the_table(answers, lost_at):
    """Three failures in a row, not three in all, and no way back."""
    detector = _feed(answers)

    assert (lost_at, lost_at is not None) == (detector.lost_at, detector.lost)


@given(st.lists(st.booleans()), st.integers(1, 5))
def test_lost_is_exactly_a_run_of_failures(answers, failures):
    """A server is lost if and only if the failures ever stood in a row."""
    run = "0" * failures
    text = "".join("1" if one else "0" for one in answers)
    detector = _feed(answers, failures)

    assert detector.lost == (run in text)
    if detector.lost:
        assert detector.lost_at == text.index(run) + failures - 1


@pytest.mark.parametrize("change", [{"failures": 0}, {"interval": 0}, {"timeout": -1}])
def test_an_endless_patience_is_refused(change):
    """A prober that never decides is a mistake."""
    with pytest.raises(ValueError, match="not a patience"):
        Patience(**change)


def _address(port):
    return f"host=127.0.0.1 port={port} user=nobody dbname=none sslmode=disable"


def test_a_silent_server_is_left_in_time():
    """Somebody who accepts and says nothing costs the timeout and no more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        probe = Probe(_address(silent.getsockname()[1]))
        began = time.monotonic()

        assert not probe.ask(0.2)
        assert 0.15 < time.monotonic() - began < 2.0
    probe.close()


def test_a_refusal_is_a_failure_at_once():
    """Nobody there is a failure, and no exception."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert not Probe(_address(held.getsockname()[1])).ask(1.0)
