"""Limits, partitions, statuses and throttle: Netflix, the SRE book, Erlang."""

import random
from typing import Any

from resilience import (
    AdaptiveLimiter,
    AIMDConfig,
    ClientThrottle,
    Gradient2Config,
    LimitConfig,
    ThrottleConfig,
    ThrottledError,
)
from resilience._limiter import limit_outcome
from resilience._limits import AIMDLimit, ExpAverage, Gradient2Limit
from resilience._partitions import Partitions
from resilience._reserve import kept_places
from resilience._vegas import VegasConfig, VegasLimit
from resilience.testing import FakeClock
from tests.unit.resilience.conformance import case

AIMD = "Netflix AIMDLimitTest"
VEGAS = "Netflix VegasLimit"
AVERAGE = "Netflix ExpAvgMeasurementTest"
GRADIENT = "Netflix Gradient2Limit"
PARTS = "Netflix AbstractPartitionedLimiterTest"
GRPC = "Netflix gRPC interceptors"
SRE = "SRE book, Handling Overload"


@case("22a", PARTS, "batch .3, live .7 of 10 and of 20 places", (3, 7, 6, 14))
def _() -> Any:
    ten, twenty = _partitions(10), _partitions(20)
    return tuple(p.limit(name) for p in (ten, twenty) for name in ("batch", "live"))


@case("22b", PARTS, "batch alone takes, then live, then both again", (10, 7, 0))
def _() -> Any:
    partitions = _partitions(10)
    batch = sum(partitions.try_acquire("batch") is not None for _ in range(20))
    live = sum(partitions.try_acquire("live") is not None for _ in range(20))
    again = [partitions.try_acquire(name) for name in ("batch", "live")]
    return batch, live, len(again) - again.count(None)


def _partitions(places: int) -> Partitions:
    algorithm = AIMDConfig(initial=places, least=places, most=places)
    limiter = AdaptiveLimiter(
        "server", LimitConfig(algorithm=algorithm), clock=FakeClock()
    )
    return Partitions(limiter, {"batch": 0.3, "live": 0.7})


@case("22c", GRPC, "server: OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, CANCELLED, "
      "UNKNOWN", ("success", "success", "dropped", "dropped", "ignored"))  # fmt: skip
def _() -> Any:
    codes = ("OK", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN")
    return tuple(limit_outcome(code, "server") for code in codes)


@case("22d", GRPC, "client: OK, UNAVAILABLE, NOT_FOUND, INTERNAL",
      ("success", "dropped", "ignored", "ignored"))  # fmt: skip
def _() -> Any:
    codes = ("OK", "UNAVAILABLE", "NOT_FOUND", "INTERNAL")
    return tuple(limit_outcome(code, "client") for code in codes)


@case("22e", GRPC, "client: RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED",
      ("dropped", "dropped"),
      differs="Netflix ignores them; both tell of too much to do")  # fmt: skip
def _() -> Any:
    codes = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
    return tuple(limit_outcome(code, "client") for code in codes)


@case("31a", AIMD, "20, well used: up; 20, half unused: same; 30, dropped; 30, late",
      (21, 20, 27, 27))  # fmt: skip
def _() -> Any:
    seen = []
    for initial, rtt_s, in_flight, dropped in (
        (20, 0.001, 10, False),
        (20, 0.001, 9, False),
        (30, 0.001, 0, True),
        (30, 5.1, 30, False),
    ):
        limit = AIMDLimit(AIMDConfig(initial=initial))
        limit.update(rtt_s, in_flight, dropped=dropped)
        seen.append(limit.value)
    return tuple(seen)


@case("31b", AVERAGE, "window 100, warm-up 10: samples 10, 11, .. 19, then 100",
      (10.0, 10.5, 14.5, 16.193069))  # fmt: skip
def _() -> Any:
    average = ExpAverage(100, 10)
    seen = [average.add(10.0 + n) for n in range(10)]
    return seen[0], seen[1], seen[9], round(average.add(100.0), 6)


@case("31c", GRADIENT, "steady and full 20 times; under half used; latency times 10",
      (36, 100, 90))  # fmt: skip
def _() -> Any:
    steady = Gradient2Limit(Gradient2Config())
    for _ in range(20):
        steady.update(0.1, 200, dropped=False)
    idle = Gradient2Limit(Gradient2Config(initial=100))
    idle.update(1.0, 49, dropped=False)
    slow = Gradient2Limit(Gradient2Config(initial=100, queue=0))
    for rtt_s in (*[0.1] * 10, 1.0):
        slow.update(rtt_s, 100 if rtt_s == 1.0 else 0, dropped=False)
    return steady.value, idle.value, slow.value


@case("31d", VEGAS, "10, least 10 ms: then 10, 12.4, 14, 50 ms", (16, 11, 10, 9))
def _() -> Any:
    seen = []
    for milliseconds in (10, 12.4, 14, 50):
        limit = VegasLimit(VegasConfig(initial=10), rng=random.Random(1))
        limit.update(0.01, 10, dropped=False)
        limit.update(milliseconds / 1000, 10, dropped=False)
        seen.append(limit.value)
    return tuple(seen)


@case("31e", VEGAS, "10 000 calls, no queue: up by 6 times log10", 10_024)
def _() -> Any:
    limit = VegasLimit(VegasConfig(initial=10_000, most=20_000), rng=random.Random(1))
    limit.update(10.0, 5_000, dropped=False)
    limit.update(10.0, 6_000, dropped=False)
    return limit.value


@case("32a", SRE, "K 2, a tenth of 1000 a second is taken: calls sent for each taken",
      2)  # fmt: skip
def _() -> Any:
    clock = FakeClock()
    throttle = ClientThrottle(
        "callee", ThrottleConfig(window_s=10), clock=clock, rng=random.Random(3)
    )
    sent = accepted = 0
    accepts_at = 0.0
    for n in range(60_000):
        clock.advance(0.001)
        try:
            throttle.admit()
        except ThrottledError:
            continue
        room = clock() >= accepts_at
        if room:
            accepts_at = clock() + 0.01
        throttle.finished(accepted=room)
        # The window is filled by then.
        if n >= 30_000:
            sent += 1
            accepted += room
    return round(sent / accepted)


@case("33a", "Kelly, Loss networks", "places kept of 100 for 1, 30, 70, 100 busy, "
      "at most .002 lost to any crowd", (2, 5, 17, 21))  # fmt: skip
def _() -> Any:
    return tuple(kept_places(busy, 100, 0.998) for busy in (1, 30, 70, 100))
