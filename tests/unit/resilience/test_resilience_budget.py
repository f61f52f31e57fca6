"""The token bucket against gRPC's retry_throttle_test, the waits against their text."""

import random
import statistics

import pytest
from tenacity import stop_after_attempt, stop_before_delay, wait_fixed

from resilience import BudgetConfig, RetryConfig, TokenBucket
from resilience._retry import STOP, RetryState, parse_pushback
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


def test_bucket_follows_grpc_core():
    """Four tokens, ratio 1.6: fifteen results, permissions as gRPC has them."""
    bucket = TokenBucket(BudgetConfig(max_tokens=4, token_ratio=1.6))
    allowed = []
    for letter in "FSFFFFFSSFFSFSF":
        if letter == "F":
            allowed.append("T" if bucket.failed() else "F")
        else:
            bucket.succeeded()

    assert "TTFFFFTFFT" == "".join(allowed)
    assert pytest.approx(2.4) == bucket.tokens


def test_bucket_tells_whether_it_is_spent():
    """At half of its tokens it is spent, and its repr says so."""
    bucket = TokenBucket(BudgetConfig(max_tokens=4))
    assert (True, "<TokenBucket 4/4, allows retries>") == (bucket.allows, repr(bucket))
    bucket.failed()
    bucket.failed()

    assert (False, "<TokenBucket 2/4, spent>") == (bucket.allows, repr(bucket))


def test_reconfigured_bucket_stays_as_full_in_proportion():
    """3 of 4 tokens become 7.5 of 10, and go on from there."""
    bucket = TokenBucket(BudgetConfig(max_tokens=4, token_ratio=1.0))
    assert bucket.failed()
    bucket.reconfigure(BudgetConfig(max_tokens=10, token_ratio=3.0))
    assert 7.5 == bucket.tokens

    assert [True, True, False, False] == [bucket.failed() for _ in range(4)]
    bucket.succeeded()
    assert 6.5 == bucket.tokens
    assert [True, False] == [bucket.failed() for _ in range(2)]


def test_ratio_keeps_three_decimals():
    """A thousand successes at 0.001 are exactly one token."""
    bucket = TokenBucket(BudgetConfig(max_tokens=2, token_ratio=0.001))
    bucket.failed()
    for _ in range(1000):
        bucket.succeeded()

    assert 2.0 == bucket.tokens


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"max_tokens": 1001}, {"token_ratio": 0}]
)
def test_bucket_refuses_what_a6_refuses(wrong):
    """Tokens in (0, 1000], a ratio above nothing."""
    with pytest.raises(ValueError):
        BudgetConfig(**wrong)


def _state(config, seed=7):
    clock = FakeClock()
    rng = random.Random(seed)
    return RetryState(config, started=0.0, clock=clock, rng=rng), clock


def _delays(config, count, seed=7):
    state, _ = _state(config, seed)
    return [state.next_delay() for _ in range(count)]


def test_backoff_doubles_up_to_its_cap():
    """Without jitter the waits are 1, 2, 4, 5, 5 of the base."""
    config = RetryConfig(attempts=9, backoff_s=0.1, backoff_max_s=0.5, jitter="none")

    assert pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5]) == _delays(config, 5)


@pytest.mark.parametrize(
    ("jitter", "low", "high", "mean"),
    [("full", 0, 1, 0.5), ("equal", 0.5, 1, 0.75), ("grpc", 0.8, 1.2, 1.0)],
)
def test_jitter_spreads_as_published(jitter, low, high, mean):
    """Full [0, d], equal [d/2, d], gRPC 0.8 to 1.2 of d, each evenly."""
    config = RetryConfig(attempts=2, backoff_s=1, backoff_max_s=1, jitter=jitter)
    delays = [_delays(config, 1, seed)[0] for seed in range(2000)]

    assert low <= min(delays)
    assert max(delays) <= high
    assert pytest.approx(mean, abs=0.02) == statistics.fmean(delays)


def test_decorrelated_jitter_grows_from_the_last_wait():
    """min(cap, uniform(base, 3 * last)), as AWS has it, the first wait too."""
    config = RetryConfig(
        attempts=99, backoff_s=0.1, backoff_max_s=2, jitter="decorrelated"
    )
    delays = _delays(config, 50)

    for last, delay in zip([0.1, *delays], delays, strict=False):
        assert 0.1 <= delay <= min(2, 3 * last) + 1e-9
    assert max(delays) > 1
    firsts = [_delays(config, 1, seed)[0] for seed in range(2000)]
    assert pytest.approx(0.2, abs=0.005) == statistics.fmean(firsts)


def test_decorrelated_jitter_starts_anew_after_a_pushback():
    """After the server's own delay, however long, the next wait is a first one."""
    config = RetryConfig(
        attempts=9, backoff_s=0.1, backoff_max_s=60, jitter="decorrelated"
    )
    for seed in range(200):
        state, _ = _state(config, seed)
        for _ in range(3):
            state.next_delay()
        assert 20 == state.next_delay(pushback_s=20.0)
        assert 0.1 <= state.next_delay() <= 0.3


def test_randomness_is_injected():
    """The same seed waits the same."""
    config = RetryConfig(attempts=9)

    assert _delays(config, 5, seed=1) == _delays(config, 5, seed=1)
    assert _delays(config, 5, seed=1) != _delays(config, 5, seed=2)


def test_attempts_count_the_first_one():
    """Three attempts are two retries."""
    delays = _delays(RetryConfig(attempts=3), 3)

    assert STOP not in delays[:2]
    assert STOP == delays[2]


def test_strategies_of_tenacity_are_taken_as_they_are():
    """Any tenacity wait and stop rule composes; a budget of time is not overshot."""
    config = RetryConfig(
        wait=wait_fixed(2) + wait_fixed(1),
        stop=stop_after_attempt(5) | stop_before_delay(7),
    )
    state, clock = _state(config)
    delays = []
    for _ in range(3):
        delays.append(state.next_delay())
        clock.advance(3)

    assert [3.0, 3.0, STOP] == delays


def test_pushback_replaces_the_wait_and_starts_the_backoff_anew():
    """After the server's own delay the next wait is the first again."""
    config = RetryConfig(attempts=9, backoff_s=0.1, jitter="none")
    state, _ = _state(config)

    assert [0.1, 0.2, 0.7, 0.1] == [
        state.next_delay(),
        state.next_delay(),
        state.next_delay(pushback_s=0.7),
        state.next_delay(),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        (["0"], 0.0),
        (["1000"], 1.0),
        ([b"300"], 0.3),
        (["-1"], STOP),
        (["xxx"], STOP),
        (["1.5"], STOP),
        ([""], STOP),
        (["1", "2"], STOP),
    ],
)
def test_pushback_is_read_as_a6_says(values, expected):
    """A number is a delay; anything else, or two values, is "do not retry"."""
    assert expected == parse_pushback(values)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"backoff_s": -1},
        {"backoff_s": 2, "backoff_max_s": 1},
        {"multiplier": 0.5},
        {"attempt_timeout_s": 0},
        {"retry_on": frozenset({"OK"})},
        {"jitter": "wild"},
    ],
)
def test_a_retry_that_makes_no_sense_is_refused(wrong):
    """Attempts, waits and codes are checked when the value is made."""
    with pytest.raises(ValueError):
        RetryConfig(**wrong)
