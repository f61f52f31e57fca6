"""How long a stream lives is no latency: limits and breakers learn nothing from it."""

import pytest

from resilience import AIMDConfig, BreakerConfig, LimitConfig, policies
from resilience._chain import Chain
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience

LIMIT = LimitConfig(algorithm=AIMDConfig(initial=20, timeout_s=1), window_s=0)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.mark.parametrize(
    ("streaming", "code", "messages", "limit"),
    [
        pytest.param(False, "OK", 1, 18, id="a late answer"),
        pytest.param(True, "OK", 9, 20, id="a stream's end"),
        pytest.param(True, "OK", 0, 20, id="an empty stream's end"),
        pytest.param(True, "DEADLINE_EXCEEDED", 9, 20, id="a stream out of time"),
        pytest.param(True, "UNAVAILABLE", 9, 20, id="a stream cut off"),
        pytest.param(True, "RESOURCE_EXHAUSTED", 0, 18, id="a stream refused"),
    ],
)
def test_a_limit_learns_from_a_stream_only_that_it_was_refused(
    clock, streaming, code, messages, limit
):
    """A minute's life of a stream is not a latency of a minute."""
    slot = Chain(policies("x", LIMIT), clock=clock).slot("/a/b")
    attempt = slot.begin(None, streaming=streaming)
    attempt.started = clock()
    clock.advance(60)
    attempt.settle(code, clock(), messages=messages)

    assert (limit, 0) == (slot.limiter.limit, slot.limiter.in_flight)


def test_a_trial_is_told_once_by_a_streams_first_message(clock):
    """It counts once whatever becomes of the stream, and is not waited for then."""
    config = BreakerConfig(half_open_permits=2, half_open_max_wait_s=1)
    slot = Chain(policies("x", config), clock=clock).slot("/a/b")
    slot.breaker.open()
    slot.breaker.half_open()
    trial = slot.begin(None, streaming=True)
    trial.delivered()
    clock.advance(60)
    trial.settle("UNAVAILABLE", clock(), messages=5)
    counted = slot.breaker.metrics()

    assert (1, 0) == (counted.calls, counted.failed)
    slot.begin(None, streaming=True).delivered()
    assert "closed" == slot.breaker.state
