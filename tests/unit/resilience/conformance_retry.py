"""Retries, budgets and hedges: gRFC A6, gRPC's own tests, AWS, Finagle."""

import random
from typing import Any

from resilience import BudgetConfig, HedgeConfig, RetryConfig, TokenBucket
from resilience._hedge import ExtraLoad, HedgeState
from resilience._retry import STOP, RetryState, parse_pushback
from resilience.testing import FakeClock
from tests.unit.resilience.conformance import case

CORE = "gRPC core retry_throttle_test"
GO = "grpc-go retry_test"
A6 = "gRFC A6"
AWS = "AWS, Exponential Backoff And Jitter"


def _bucket(letters: str, bucket: TokenBucket) -> str:
    allowed = ""
    for letter in letters:
        if letter == "F":
            allowed += "T" if bucket.failed() else "F"
        else:
            bucket.succeeded()
    return allowed


@case(
    "13a",
    CORE,
    "4 tokens, ratio 1.6, F S F F F F F S S F F S F S F: may retry, tokens left",
    ("TTFFFFTFFT", 2.4),
)
def _() -> Any:
    bucket = TokenBucket(BudgetConfig(max_tokens=4, token_ratio=1.6))
    return _bucket("FSFFFFFSSFFSFSF", bucket), bucket.tokens


@case(
    "13b",
    CORE,
    "3 of 4 tokens, replaced by 10 with ratio 3: tokens, then F F F F S F F",
    (7.5, "TTFFTF"),
)
def _() -> Any:
    bucket = TokenBucket(BudgetConfig(max_tokens=4, token_ratio=1.0))
    bucket.failed()
    bucket.reconfigure(BudgetConfig(max_tokens=10, token_ratio=3.0))
    return bucket.tokens, _bucket("FFFFSFF", bucket)


@case("14a", A6, "maxTokens 0, 1000, 1001 are taken", ("no", "yes", "no"))
def _() -> Any:
    taken = []
    for tokens in (0, 1000, 1001):
        try:
            BudgetConfig(max_tokens=tokens)
        except ValueError:
            taken.append("no")
        else:
            taken.append("yes")
    return tuple(taken)


@case("14b", A6, "1000 successes at ratio 0.001 give back", 1.0)
def _() -> Any:
    bucket = TokenBucket(BudgetConfig(max_tokens=2, token_ratio=0.001))
    bucket.failed()
    before = bucket.tokens
    _bucket("S" * 1000, bucket)
    return bucket.tokens - before


@case(
    "15a",
    GO,
    'pushback "1000", "-1", "xxx", two values',
    (1.0, "no retry", "no retry", "no retry"),
)
def _() -> Any:
    read = (parse_pushback(v) for v in (["1000"], ["-1"], ["xxx"], ["1", "2"]))
    return tuple("no retry" if seconds == STOP else seconds for seconds in read)


def _state(seed: int = 0, **config: Any) -> RetryState:
    return RetryState(
        RetryConfig(**config), started=0.0, clock=FakeClock(), rng=random.Random(seed)
    )


def _waits(count: int, seed: int = 0, **config: Any) -> list[float]:
    state = _state(seed, attempts=count + 1, **config)
    return [state.next_delay() for _ in range(count)]


def _spread(**config: Any) -> tuple[float, float]:
    """Return the least and the most of many first waits, to two places."""
    waits = [_waits(1, seed, **config)[0] for seed in range(3000)]
    return round(min(waits), 2), round(max(waits), 2)


@case(
    "15b",
    A6,
    "maxAttempts 9 makes",
    9,
    differs="no cap of 5: the policy is the client's own, not a service config's",
)
def _() -> Any:
    state = _state(attempts=9, jitter="none")
    attempts = 1
    while state.next_delay() != STOP:
        attempts += 1
    return attempts


@case("15c", A6, "waits from 0.1 s, x2, at most 0.5 s, unspread",
      (0.1, 0.2, 0.4, 0.5, 0.5))  # fmt: skip
def _() -> Any:
    return tuple(_waits(5, backoff_s=0.1, backoff_max_s=0.5, jitter="none"))


@case("15d", A6, "1 s spread by 0.8 to 1.2", (0.8, 1.2))
def _() -> Any:
    return _spread(backoff_s=1, jitter="grpc")


@case("15e", A6, "pushback 0.7 s as third wait; the next one", (0.1, 0.2, 0.7, 0.1))
def _() -> Any:
    state = _state(attempts=9, backoff_s=0.1, jitter="none")
    before = state.next_delay(), state.next_delay()
    return (*before, state.next_delay(pushback_s=0.7), state.next_delay())


@case("15f", AWS, "full jitter of 1 s", (0.0, 1.0))
def _() -> Any:
    return _spread(backoff_s=1, jitter="full")


@case("15g", AWS, "equal jitter of 1 s", (0.5, 1.0))
def _() -> Any:
    return _spread(backoff_s=1, jitter="equal")


@case("15h", AWS, "decorrelated jitter from 1 s, its first wait", (1.0, 3.0))
def _() -> Any:
    return _spread(backoff_s=1, backoff_max_s=60, jitter="decorrelated")


@case("15i", AWS, "decorrelated: every wait in [base, 3 x last], at most 9 s", True)
def _() -> Any:
    waits = _waits(500, backoff_s=1, backoff_max_s=9, jitter="decorrelated")
    pairs = zip([1.0, *waits], waits, strict=False)
    return all(1 <= wait <= min(9, 3 * last) for last, wait in pairs)


def _hedged(attempts: int = 4) -> HedgeState:
    state = HedgeState(HedgeConfig(delay_s=0.5, attempts=attempts), 0.5)
    state.send(0.0)
    return state


@case("16a", A6, "4 x 0.5 s: outstanding at 1, 501, 1001, 1501 ms", (1, 2, 3, 4))
def _() -> Any:
    state, seen = _hedged(), []
    for now in (0.001, 0.501, 1.001, 1.501):
        while state.due_at is not None and state.due_at <= now:
            state.send(state.due_at)
        seen.append(state.outstanding)
    return tuple(seen)


@case("16b", A6, "non-fatal at 0.1 s: next sent at, the one after at", (0.1, 0.6))
def _() -> Any:
    state = _hedged()
    state.failed("UNAVAILABLE", 0.1, pushback_s=None)
    due = state.due_at
    state.send(0.1)
    return due, state.due_at


@case("16c", A6, "fatal while another is outstanding ends the call", True)
def _() -> Any:
    state = _hedged()
    state.send(0.5)
    return state.failed("INVALID_ARGUMENT", 0.6, pushback_s=None)


@case("16d", A6, "pushback 2 s at 0.1 s: next at, the one after at", (2.1, 2.6))
def _() -> Any:
    state = _hedged()
    state.failed("UNAVAILABLE", 0.1, pushback_s=2.0)
    due = state.due_at
    state.send(2.1)
    return due, state.due_at


@case("16e", A6, "pushback -1: next at, call over while one is outstanding, after it",
      (None, False, True))  # fmt: skip
def _() -> Any:
    state = _hedged()
    state.send(0.5)
    over = state.failed("UNAVAILABLE", 0.6, pushback_s=STOP)
    return state.due_at, over, state.failed("UNAVAILABLE", 0.7, pushback_s=None)


@case("16f", A6, "throttled, nothing answers for 9 s: sent", 1)
def _() -> Any:
    bucket = TokenBucket(BudgetConfig(max_tokens=2))
    bucket.failed()
    state = _hedged()
    while state.due_at is not None and state.due_at <= 9:
        if bucket.allows:
            state.send(state.due_at)
        else:
            state.stop()
    return state.sent


@case("16g", A6, "all 4 attempts fail one by one: over after each", (0, 0, 0, 1))
def _() -> Any:
    state, over = _hedged(), []
    for now in range(4):
        over.append(int(state.failed("UNAVAILABLE", now, pushback_s=None)))
        if state.due_at is not None:
            state.send(state.due_at)
    return tuple(over)


@case("17a", "Finagle backup requests", "1000 calls want one, 5 % extra: hedges", 50)
def _() -> Any:
    load, hedges = ExtraLoad(HedgeConfig(delay_s=0, extra_load=0.05)), 0
    for _ in range(1000):
        load.called()
        hedges += load.hedge()
    return hedges


@case("17b", "Finagle backup requests", "the first call's hedge: no floor", False)
def _() -> Any:
    load = ExtraLoad(HedgeConfig(delay_s=0, extra_load=0.05))
    load.called()
    return load.hedge()
