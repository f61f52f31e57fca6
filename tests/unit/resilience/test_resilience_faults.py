"""Which calls faults hit, and how many at once; what a call may ask for."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import FaultInjected
from resilience._faults import FaultConfig, Faults, asked
from resilience.testing import RecordingListener

pytestmark = pytest.mark.resilience

DELAY = "x-envoy-fault-delay-request"
ABORT = "x-envoy-fault-abort-grpc-request"
DELAY_PERCENT = "x-envoy-fault-delay-request-percentage"
ABORT_PERCENT = "x-envoy-fault-abort-request-percentage"


@given(
    seed=st.integers(0, 1000),
    most=st.none() | st.integers(1, 5),
    percent=st.floats(0, 100),
    steps=st.lists(st.booleans(), max_size=60),
)
def test_no_more_faults_than_allowed_are_active(seed, most, percent, steps):
    """Whatever comes and goes: active are those not over, at most max_active."""
    config = FaultConfig(
        delay_s=1, delay_percent=percent, abort="ABORTED", max_active=most
    )
    listener = RecordingListener()
    faults = Faults(config, rng=random.Random(seed), listener=listener)
    held, told = [], []
    for comes in steps:
        if comes:
            fault = faults.decide("/a.B/C")
            assert fault is not None
            told.append(
                FaultInjected(method="/a.B/C", delay_s=fault.delay_s, code="ABORTED")
            )
            held.append(fault)
        elif held:
            faults.over(held.pop(0))
        delayed = sum(1 for fault in held if fault.delay_s)
        assert delayed == faults.active
        assert most is None or faults.active <= most

    assert told == listener.events


@pytest.mark.parametrize(
    ("methods", "hit"),
    [
        (None, True),
        (frozenset({"/a.B/C"}), True),
        (frozenset({"C"}), True),
        (frozenset({"D", "/a.B/D"}), False),
    ],
)
def test_methods_narrow_it_down(methods, hit):
    """By the full name or its last part; the others are left alone."""
    faults = Faults(FaultConfig(abort="ABORTED", methods=methods))

    assert hit == (faults.decide("/a.B/C") is not None)


@pytest.mark.parametrize("percent", [0, 100])
def test_none_is_none_and_all_is_all(percent):
    """At the ends of the scale chance has no part."""
    config = FaultConfig(abort="ABORTED", abort_percent=percent)
    faults = Faults(config, rng=random.Random(1))

    assert {percent == 100} == {faults.decide("/a.B/C") is not None for _ in range(500)}


def test_a_callable_is_asked_each_time():
    """A test turns the fault on and off while calls run."""
    now = FaultConfig()
    faults = Faults(lambda: now)
    assert faults.decide("/a.B/C") is None
    now = FaultConfig(abort="ABORTED")
    assert faults.decide("/a.B/C") is not None


# Envoy, HTTP fault injection, "controlling fault injection via HTTP headers".
@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([(DELAY, "250")], FaultConfig(delay_s=0.25)),
        ([(ABORT, "14")], FaultConfig(abort="UNAVAILABLE")),
        ([(DELAY, "5"), (ABORT, "10")], FaultConfig(delay_s=0.005, abort="ABORTED")),
        ([(DELAY_PERCENT, "20")], FaultConfig(delay_percent=20)),
        ([(ABORT_PERCENT, "20")], FaultConfig(abort_percent=20)),
        ([(ABORT, "0")], FaultConfig()),
        ([(ABORT, "17")], FaultConfig()),
        ([(ABORT, "a lot")], FaultConfig()),
        ([(DELAY, "-3")], FaultConfig()),
        ([("x-other", "3"), ("x-envoy-fault-other", "3")], FaultConfig()),
        ([], FaultConfig()),
    ],
)
def test_a_call_may_ask_for_its_own_fault(metadata, expected):
    """Envoy's names and units; what is no sound number is ignored."""
    assert expected == asked(FaultConfig(), metadata)


@pytest.mark.parametrize(("told", "counts"), [("50", 30), ("20", 20)])
def test_a_call_may_only_lower_the_percentage(told, counts):
    """Envoy: the smaller of the header's and the configured percentage counts."""
    config = FaultConfig(delay_percent=30, abort_percent=30)
    found = asked(config, [(DELAY_PERCENT, told), (ABORT_PERCENT, told)])

    assert (counts, counts) == (found.delay_percent, found.abort_percent)


def test_calls_are_only_heard_where_that_is_on():
    """Without headers, metadata of strangers changes nothing."""
    metadata = [(ABORT, "14")]

    assert Faults(FaultConfig()).decide("/a.B/C", metadata) is None
    fault = Faults(FaultConfig(headers=True)).decide("/a.B/C", metadata)
    assert fault is not None
    assert "UNAVAILABLE" == fault.abort


@pytest.mark.parametrize(
    "wrong",
    [
        {"abort": "SOMETIMES"},
        {"abort": "unavailable"},
        {"after_messages": -1},
        {"delay_s": float("inf")},
        {"delay_s": float("nan")},
        {"abort_percent": float("nan")},
    ],
)
def test_faults_that_cannot_be_are_refused(wrong):
    """They would otherwise fail in the middle of a call."""
    with pytest.raises(ValueError):
        FaultConfig(**wrong)
