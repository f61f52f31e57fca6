"""Several listeners and observers where the policies know one."""

import logging

import pytest

from resilience import ClientPolicy, Outcome
from resilience._chain import Chain
from resilience._fanout import Listeners, Observers
from resilience._sent import sent_metadata
from resilience.testing import RecordingListener, RecordingObserver

pytestmark = pytest.mark.resilience


class Broken:
    def on_event(self, event):
        raise RuntimeError("tracer down")

    def attempt_started(self, target, method, attempt, metadata):
        raise RuntimeError("tracer down")

    def call_finished(self, target, method, **told):
        raise RuntimeError("tracer down")


class Deaf:
    def attempt_started(self, target, method, attempt, metadata):
        return self

    def finished(self, outcome):
        raise KeyError("tracer down")


class Calls(RecordingObserver):
    def __init__(self):
        super().__init__()
        self.calls = []

    def call_finished(self, target, method, **told):
        self.calls.append((target, method, told))


class Marks(RecordingObserver):
    def attempt_started(self, target, method, attempt, metadata):
        metadata.append(("mark", "1"))
        return super().attempt_started(target, method, attempt, metadata)


def test_every_listener_gets_every_event(caplog):
    """One that raises is logged and takes nothing from the others."""
    first, last = RecordingListener(), RecordingListener()
    with caplog.at_level(logging.ERROR):
        Listeners(first, Broken(), last).on_event("ebb")

    assert [["ebb"], ["ebb"]] == [first.events, last.events]
    assert "tracer down" in caplog.text


def test_every_observer_sees_the_attempt_and_its_end(caplog):
    """Metadata pass from one to the next; a broken one misses only its own part."""
    marks, last = Marks(), RecordingObserver()
    outcome = Outcome(code="OK", latency_s=0.1)
    with caplog.at_level(logging.ERROR):
        Observers(marks, Broken(), last).attempt_started("t", "/a.B/C", 1, []).finished(
            outcome
        )

    assert [marks.attempts[0].outcome, last.attempts[0].outcome] == [outcome, outcome]
    assert last.attempts[0].metadata == [("mark", "1")]
    assert "tracer down" in caplog.text


def test_whole_calls_go_to_those_who_ask_for_them(caplog):
    """An observer of attempts alone is not asked, and a broken one harms nobody."""
    calls = Calls()
    observers = Observers(RecordingObserver(), Broken(), calls)
    with caplog.at_level(logging.ERROR):
        observers.call_finished("t", "/a.B/C", code="OK", duration_s=0.1)

    assert calls.calls == [("t", "/a.B/C", {"code": "OK", "duration_s": 0.1})]
    assert "tracer down" in caplog.text


@pytest.mark.parametrize("observer", [Broken(), Deaf()])
def test_a_single_observer_that_raises_harms_no_attempt(caplog, observer):
    """Whether at the attempt's begin or at its end, it is logged and nothing else."""
    slot = Chain(ClientPolicy(target="t"), observer=observer).slot("/a.B/C")
    attempt = slot.begin(None, streaming=False)
    with caplog.at_level(logging.ERROR):
        assert [("k", "v")] == sent_metadata(slot, [("k", "v")], attempt, 1)
        assert attempt.settle("OK", 1.0)

    assert "tracer down" in caplog.text
