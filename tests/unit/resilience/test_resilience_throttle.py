"""The SRE book's client-side throttling: stop asking what refuses anyway."""

import contextlib
import random

import pytest

from resilience import ClientThrottle, ThrottleConfig
from resilience._errors import ThrottledError
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


def _throttle(**config):
    clock = FakeClock()
    throttle = ClientThrottle(
        "catalog", ThrottleConfig(**config), clock=clock, rng=random.Random(2)
    )
    return throttle, clock


@pytest.mark.parametrize(
    ("requests", "accepts", "expected"),
    [
        pytest.param(100, 100, 0.0, id="all accepted"),
        pytest.param(100, 50, 0.0, id="half accepted, K is 2"),
        pytest.param(100, 25, 50 / 101, id="a quarter accepted"),
        pytest.param(9, 0, 0.9, id="none accepted"),
        pytest.param(1000, 0, 0.95, id="never all"),
    ],
)
def test_the_sre_books_formula(requests, accepts, expected):
    """max(0, (requests - K * accepts) / (requests + 1)), below the maximum."""
    throttle, _ = _throttle(min_calls=0)
    for number in range(requests):
        with contextlib.suppress(ThrottledError):
            throttle.admit()
        throttle.finished(accepted=number < accepts)

    assert throttle.probability == pytest.approx(expected)


def test_a_dead_callee_gets_few_calls_and_a_healed_one_all():
    """In an outage most calls are held back; when it ends, none soon."""
    throttle, clock = _throttle(window_s=10.0)

    def ask(count, alive):
        sent = 0
        for _ in range(count):
            clock.advance(0.01)
            try:
                throttle.admit()
            except ThrottledError:
                continue
            sent += 1
            throttle.finished(accepted=alive)
        return sent

    assert 500 == ask(500, alive=True)
    ask(1000, alive=False)
    assert ask(500, alive=False) < 60
    ask(4000, alive=True)
    assert ask(500, alive=True) == 500


def test_requests_count_before_they_are_sent():
    """Once one was refused, unanswered requests count at once, not a round trip later.

    failsafe-go's adaptivethrottler: one failure of one request is a rate of a half.
    """
    throttle, _ = _throttle(min_calls=1)
    throttle.admit()
    throttle.finished(accepted=False)
    assert throttle.probability == pytest.approx(1 / 2)
    with contextlib.suppress(ThrottledError):
        throttle.admit()

    assert throttle.probability == pytest.approx(2 / 3)


def test_a_burst_is_not_held_back_before_anything_was_refused():
    """The first calls of a client all pass, though none has an answer yet."""
    throttle, _ = _throttle()
    for _ in range(50):
        throttle.admit()

    assert 0.0 == throttle.probability


def test_a_failure_of_few_calls_holds_nothing_back():
    """Nine calls that all were refused are too few to judge; the tenth counts."""
    throttle, _ = _throttle()
    for _ in range(9):
        throttle.admit()
        throttle.finished(accepted=False)
    assert 0.0 == throttle.probability
    throttle.admit()

    assert throttle.probability == pytest.approx(10 / 11)


def test_the_window_forgets():
    """What is older than the window counts no more."""
    throttle, clock = _throttle(window_s=10.0)
    for _ in range(20):
        with contextlib.suppress(ThrottledError):
            throttle.admit()
            throttle.finished(accepted=False)
    assert throttle.probability > 0.9
    clock.advance(11)

    assert 0.0 == throttle.probability
    assert (0, 0) == (throttle.requests, throttle.refusals)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ThrottleConfig(k=0.5),
        lambda: ThrottleConfig(window_s=0),
        lambda: ThrottleConfig(max_probability=1.0),
        lambda: ThrottleConfig(min_calls=-1),
    ],
)
def test_impossible_values_are_refused(wrong):
    """A throttle that lets nothing through would never learn that all is well."""
    with pytest.raises(ValueError):
        wrong()
