"""When hedges are due, and what they may cost: gRFC A6 and "The Tail at Scale"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import HedgeConfig
from resilience._hedge import ExtraLoad, HedgeState

pytestmark = pytest.mark.resilience

FOUR = HedgeConfig(delay_s=0.5, attempts=4)


def _outstanding(state, at):
    """Send whatever is due until *at*, and return what is outstanding then."""
    while state.due_at is not None and state.due_at <= at:
        state.send(state.due_at)
    return state.outstanding


@pytest.mark.parametrize(
    ("at", "expected"), [(0.001, 1), (0.501, 2), (1.001, 3), (1.501, 4), (9, 4)]
)
def test_attempts_follow_each_other_by_the_delay(at, expected):
    """gRFC A6's example: four attempts half a second apart."""
    state = HedgeState(FOUR, 0.5)
    state.send(0.0)

    assert expected == _outstanding(state, at)


def test_a_non_fatal_failure_sends_the_next_at_once():
    """gRFC A6: a non-fatal status does not wait for the delay."""
    state = HedgeState(FOUR, 0.5)
    state.send(0.0)

    assert not state.failed("UNAVAILABLE", 0.1, pushback_s=None)
    assert 0.1 == state.due_at
    state.send(0.1)
    assert 0.6 == state.due_at


def test_a_fatal_failure_ends_the_call():
    """gRFC A6: any other status is the call's answer, whatever is outstanding."""
    state = HedgeState(FOUR, 0.5)
    state.send(0.0)
    state.send(0.5)

    assert state.failed("INVALID_ARGUMENT", 0.6, pushback_s=None)


def test_pushback_sets_when_the_next_is_sent():
    """gRFC A6: the server's delay replaces ours once, then ours holds again."""
    state = HedgeState(FOUR, 0.5)
    state.send(0.0)

    assert not state.failed("UNAVAILABLE", 0.1, pushback_s=2.0)
    assert 2.1 == state.due_at
    state.send(2.1)
    assert 2.6 == state.due_at


def test_pushback_can_stop_hedging():
    """gRFC A6: a negative pushback means no further attempt; the others go on."""
    state = HedgeState(FOUR, 0.5)
    state.send(0.0)
    state.send(0.5)

    assert not state.failed("UNAVAILABLE", 0.6, pushback_s=-1.0)
    assert state.due_at is None
    assert 1 == state.outstanding
    assert state.failed("UNAVAILABLE", 0.7, pushback_s=None)


def test_without_a_known_delay_only_failures_hedge():
    """While a percentile is not known yet no attempt is due by time."""
    state = HedgeState(HedgeConfig(percentile=0.95), None)
    state.send(0.0)

    assert state.due_at is None
    assert not state.failed("UNAVAILABLE", 1.0, pushback_s=None)
    assert 1.0 == state.due_at


@given(
    st.lists(st.sampled_from(["send", "UNAVAILABLE", "stop"]), max_size=40),
    st.integers(2, 5),
)
def test_never_more_attempts_than_configured(steps, attempts):
    """However attempts fail, no more than the configured number is ever due."""
    state = HedgeState(HedgeConfig(delay_s=1.0, attempts=attempts), 1.0)
    state.send(0.0)
    for now, step in enumerate(steps):
        if step == "send" and state.due_at is not None:
            state.send(float(now))
        elif step == "stop":
            state.stop()
        elif step == "UNAVAILABLE" and state.outstanding:
            state.failed(step, float(now), pushback_s=None)

        assert state.sent <= attempts
        assert state.outstanding >= 0
        assert state.due_at is None or state.sent < attempts


@given(st.lists(st.booleans(), max_size=2000), st.sampled_from([0.01, 0.05, 0.5]))
def test_hedges_stay_within_the_extra_load(wishes, extra):
    """At most the configured share of the calls so far was ever hedged."""
    load = ExtraLoad(HedgeConfig(delay_s=0, extra_load=extra))
    hedges = 0
    for calls, wish in enumerate(wishes, start=1):
        load.called()
        hedges += wish and load.hedge()

        assert hedges <= extra * calls + 1e-6


def test_there_is_no_floor():
    """The first call of all cannot be hedged: nothing has paid for it."""
    load = ExtraLoad(HedgeConfig(delay_s=0, extra_load=0.05))
    load.called()

    assert not load.hedge()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"delay_s": 1, "percentile": 0.5},
        {"delay_s": -1},
        {"percentile": 1.0},
        {"delay_s": 1, "attempts": 1},
        {"delay_s": 1, "attempts": 6},
        {"delay_s": 1, "extra_load": 0},
        {"delay_s": 1, "burst": 0.5},
        {"delay_s": 1, "min_delay_s": -1},
    ],
)
def test_impossible_hedges_are_refused(wrong):
    """A hedge needs one delay, two to five attempts, and a bound."""
    with pytest.raises(ValueError):
        HedgeConfig(**wrong)
