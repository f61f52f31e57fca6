"""A clock, a recorder and a breaker for the resilience tests."""

import pytest

from resilience import BreakerConfig, CircuitBreaker
from resilience.testing import FakeClock, RecordingListener

# resilience4j's CircuitBreakerStateMachineTest sets its breaker up like this.
REFERENCE = {
    "failure_rate": 0.5,
    "slow_rate": 0.5,
    "slow_after_s": 4.0,
    "window": "time",
    "window_size": 20,
    "min_calls": 5,
    "open_s": 5.0,
    "half_open_permits": 4,
    "half_open_max_wait_s": 1.0,
}


class Machine:
    """A breaker under a fake clock, fed with letters: F, S, s (slow S), I."""

    def __init__(self, **changes):
        self.clock = FakeClock()
        self.listener = RecordingListener()
        self.breaker = CircuitBreaker(
            "payments",
            BreakerConfig(**(REFERENCE | changes)),
            clock=self.clock,
            listener=self.listener,
        )

    def feed(self, letters):
        for letter in letters:
            permit = self.breaker.acquire()
            if letter == "I":
                self.breaker.release(permit)
            else:
                self.breaker.record(
                    permit, ok=letter != "F", latency_s=5.0 if letter == "s" else 0.1
                )


@pytest.fixture
def machine():
    return Machine


@pytest.fixture
def reference():
    return Machine()
