"""The circuit breaker's cases: resilience4j's state machine, and Finagle's accrual."""

import random
from itertools import pairwise
from typing import Any

from resilience import BreakerConfig, BreakerThresholdExceeded, CircuitBreaker
from resilience.testing import FakeClock
from tests.unit.resilience.conformance import OWN, R4J, Bench, case

FINAGLE = "Finagle FailureAccrualPolicyTest"


@case("1a", R4J, "F F F S: too few to judge", ("closed", None, 1, 3, 4))
def _() -> Any:
    return Bench().feed("FFFS").view


@case("1b", R4J, "F F F S S: the fifth, a success, opens", ("open", 60.0, 2, 3, 5))
def _() -> Any:
    return Bench().feed("FFFSS").view


@case("1c", R4J, "open: the next caller admitted, refused, changes told", (0, 1, 1))
def _() -> Any:
    bench = Bench().opened()
    admitted = bench.admits()
    refused = bench.breaker.metrics().not_permitted
    return admitted, refused, len(bench.listener.transitions())


@case("2a", R4J, "S S S F F a second apart", ("closed", 40.0, 3, 2, 5))
def _() -> Any:
    return Bench().feed("SSSFF", every_s=1.0).view


@case("2b", R4J, "and one more F: exactly the threshold", ("open", 50.0, 3, 3, 6))
def _() -> Any:
    return Bench().feed("SSSFFF", every_s=1.0).view


@case("3a", R4J, "f s F S s, small letters slow: state, slow rate", ("open", 60.0))
def _() -> Any:
    bench = Bench(failure_rate=1.0).feed("fsFSs")
    return bench.breaker.state, 100 * (bench.breaker.metrics().slow_rate or 0)


@case(
    "3b", "resilience4j documentation", "a call of exactly the slow bound", "not slow"
)
def _() -> Any:
    bench = Bench()
    bench.breaker.record(bench.breaker.acquire(), ok=True, latency_s=4.0)
    return "slow" if bench.breaker.metrics().slow else "not slow"


@case("4a", R4J, "open for 5 s: two callers at 3 s, admitted and refused", (0, 2))
def _() -> Any:
    bench = Bench().opened(wait_s=3)
    return bench.admits(2), bench.breaker.metrics().not_permitted


@case("4b", R4J, "a caller at 6 s is a trial, counts anew", (1, "half_open", 0, None))
def _() -> Any:
    bench = Bench().opened(wait_s=6)
    admitted, (state, rate, _, _, calls) = bench.admits(), bench.view
    return admitted, state, calls, rate


@case("5a", R4J, "half-open with 4 permits: admitted of 10", 4)
def _() -> Any:
    return Bench().opened(wait_s=6).admits(10)


@case("5b", R4J, "half-open, trials never tell: after 1 s it is open", "open")
def _() -> Any:
    bench = Bench().opened(wait_s=6)
    bench.admits(4)
    bench.clock.advance(1)
    bench.admits()
    return bench.breaker.state


@case(
    "5c",
    R4J,
    "half-open, a trial every 0.9 s and each a success",
    "closed",
    differs="the wait counts from the last trial, so that sparse calls close it",
)
def _() -> Any:
    return Bench().opened(wait_s=6).feed("SSSS", every_s=0.9).breaker.state


@case("6a", R4J, "half-open F F S F", ("open", 75.0, 1, 3, 4))
def _() -> Any:
    return Bench().opened(wait_s=6).feed("FFSF").view


@case("6b", R4J, "half-open F S S S closes with counts anew", ("closed", None, 0, 0, 0))
def _() -> Any:
    return Bench().opened(wait_s=6).feed("FSSS").view


@case("6c", R4J, "half-open s s s S: state, slow and failure rate", ("open", 75, 0))
def _() -> Any:
    bench = Bench().opened(wait_s=6).feed("sssS")
    metrics = bench.breaker.metrics()
    slow, failed = metrics.slow_rate or 0, metrics.failure_rate or 0
    return bench.breaker.state, int(100 * slow), int(100 * failed)


@case("5d", R4J, "half-open: 4 and 2 more callers, one released, one more", (4, 1))
def _() -> Any:
    bench = Bench().opened(wait_s=6)
    permit = bench.breaker.acquire()
    admitted = 1 + bench.admits(5)
    bench.breaker.release(permit)
    return admitted, bench.admits()


@case("7a", R4J, "half-open S S S, one ignored, F", ("closed", None, 0, 0, 0))
def _() -> Any:
    return Bench().opened(wait_s=6).feed("SSSIF").view


@case("7b", R4J, "half-open, four ignored, then S S S S", ("half_open", "closed"))
def _() -> Any:
    bench = Bench().opened(wait_s=6)
    return bench.feed("IIII").breaker.state, bench.feed("SSSS").breaker.state


@case("7c", "erpc issue 1118", "half-open, 80 % ignored for long: still latched", "no")
def _() -> Any:
    bench = Bench().opened(wait_s=6).feed("IIIIS" * 4)
    return "no" if bench.breaker.state == "closed" else "yes"


@case("8a", R4J, "forced open: admitted of 3 after 60 s", ("forced_open", 0))
def _() -> Any:
    bench = Bench(mode="forced_open")
    bench.clock.advance(60)
    return bench.breaker.state, bench.admits(3)


@case("8b", R4J, "disabled: 50 F are admitted, counted, told", ("disabled", 0, 0))
def _() -> Any:
    bench = Bench(mode="disabled").feed("F" * 50)
    calls = bench.breaker.metrics().calls
    return bench.breaker.state, calls, len(bench.listener.events)


@case("8c", R4J, "metrics only, F F F S S F: calls, events", ("metrics_only", 6, 1))
def _() -> Any:
    bench = Bench(mode="metrics_only").feed("FFFSSF")
    events = bench.listener.of(BreakerThresholdExceeded)
    return bench.breaker.state, bench.breaker.metrics().calls, len(events)


@case("8d", R4J, "closed to half-open is illegal", "ValueError")
def _() -> Any:
    try:
        Bench().breaker.half_open()
    except ValueError as error:
        return type(error).__name__


@case("8e", R4J, "a change to the same state tells nobody", 0)
def _() -> Any:
    bench = Bench()
    bench.breaker.close()
    return len(bench.listener.events)


@case("8f", OWN, "by hand: open, close, disabled, forced open, watching, closed", 6)
def _() -> Any:
    bench = Bench()
    breaker = bench.breaker
    for step in ("open", "close", "disable", "force_open", "watch_only", "close"):
        getattr(breaker, step)()
    changes = bench.listener.transitions()
    assert all(before[1] == after[0] for before, after in pairwise(changes))
    return len(changes)


@case(
    "8g",
    R4J,
    "reset while open: counts anew",
    ("closed", None, 0, 0, 0),
)
def _() -> Any:
    bench = Bench().opened()
    bench.breaker.close()
    return bench.view


@case(
    "9a",
    R4J,
    "10 calls from before it opened fail while it is half-open",
    ("half_open", 0),
    differs="such results are void; resilience4j counts them in the new state",
)
def _() -> Any:
    bench = Bench()
    early = [bench.breaker.acquire() for _ in range(10)]
    bench.opened(wait_s=6).admits()
    for permit in early:
        bench.breaker.record(permit, ok=False, latency_s=0.1)
    return bench.breaker.state, bench.breaker.metrics().calls


@case("9b", R4J, "x1.5 from 5 s: trial at 6 s; open again: at 6, at 11 s", (1, 0, 1))
def _() -> Any:
    bench = Bench(open_factor=1.5)
    bench.breaker.open()
    admitted = []
    for wait_s in (6, 6, 5):
        bench.clock.advance(wait_s)
        admitted.append(bench.admits())
        if len(admitted) == 1:
            bench.breaker.open()
    return tuple(admitted)


@case("9c", "resilience4j IntervalFunction", "x1.5 from 2 s, at most 4 s", (2, 3, 4, 4))
def _() -> Any:
    bench = Bench(open_s=2.0, open_factor=1.5, open_max_s=4.0)
    bench.breaker.open()
    waits = []
    for _ in range(4):
        waits.append(bench.breaker.retry_after_s)
        bench.clock.advance(waits[-1])
        bench.feed("FFFF")
    return tuple(waits)


@case(
    "9d",
    "resilience4j IntervalFunction",
    "10 s randomised by 0.5, 300 times: near 5 and 15, never beyond",
    (True, True),
)
def _() -> Any:
    breaker = CircuitBreaker(
        "any",
        BreakerConfig(open_s=10.0, open_jitter=0.5),
        clock=FakeClock(),
        rng=random.Random(9),
    )
    waits = []
    for _ in range(300):
        breaker.open()
        waits.append(breaker.retry_after_s)
        breaker.close()
    return 5 <= min(waits) < 5.2, 14.8 < max(waits) <= 15


# Finagle's consecutive policy is a count window of which all must have failed.
_THREE = {
    "window": "count",
    "window_size": 3,
    "min_calls": 3,
    "failure_rate": 1.0,
    "half_open_permits": 1,
}


@case("18a", FINAGLE, "3 consecutive failures: dead for", ("open", 5.0))
def _() -> Any:
    bench = Bench(**_THREE).feed("FFF")
    return bench.breaker.state, bench.breaker.retry_after_s


@case("18b", FINAGLE, "F F S F F: a success resets", "closed")
def _() -> Any:
    return Bench(**_THREE).feed("FFSFF").breaker.state


@case("18c", FINAGLE, "revived by one success, F F, then F", ("closed", "open"))
def _() -> Any:
    bench = Bench(**_THREE).feed("FFF")
    bench.clock.advance(5)
    before = bench.feed("SFF").breaker.state
    return before, bench.feed("F").breaker.state


@case(
    "18d",
    FINAGLE,
    "100 S, window 100, success rate 0.5: the F that trips",
    50,
    differs="a window counts its calls alike; Finagle's average trips at the 70th",
)
def _() -> Any:
    bench = Bench(window="count", window_size=100, min_calls=100).feed("S" * 100)
    failures = 0
    while bench.breaker.state == "closed":
        bench.feed("F")
        failures += 1
    return failures
