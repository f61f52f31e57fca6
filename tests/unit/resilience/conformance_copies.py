"""Windows, outcomes, deadlines and copies: resilience4j, Envoy, Finagle, XFetch."""

import asyncio
import math
import random
from typing import Any

from resilience import (
    CacheConfig,
    Coalescer,
    Percentiles,
    current_deadline,
    deadline_scope,
)
from resilience._copies import Aged, Copies
from resilience._outcome import classify
from resilience._window import CountWindow, TimeWindow
from resilience.testing import FakeClock
from tests.unit.resilience.conformance import case

COUNT = "resilience4j FixedSizeSlidingWindowMetricsTest"
TIME = "resilience4j SlidingTimeWindowMetricsTest"
ENVOY = "Envoy admission control"
XFETCH = "Vattani et al., VLDB 2015"


@case("10a", COUNT, "4 places, F S S S S: failure %", (100.0, 50.0, 33.33, 25.0, 0.0))
def _() -> Any:
    window, rates = CountWindow(4), []
    for letter in "FSSSS":
        window.add(failed=letter == "F", slow=False)
        rates.append(round(100 * window.failed / window.calls, 2))
    return tuple(rates)


@case("10b", COUNT, "5 places, two of 10 s slow, three of 0.1 s: slow %, total, mean",
      (40.0, 20.3, 4.06))  # fmt: skip
def _() -> Any:
    window = CountWindow(5)
    for latency_s in (10, 10, 0.1, 0.1, 0.1):
        window.add(failed=False, slow=latency_s > 4, latency_s=latency_s)
    total_s = window.total_us / 1e6
    return 100 * window.slow / window.calls, total_s, round(total_s / window.calls, 6)


@case("11a", TIME, "5 s: F at 0, S at .1, slow F of 1 s at .8: at 4.8 s, at 5.8 s",
      (3, 2, 1, 0, 0, 0))  # fmt: skip
def _() -> Any:
    clock = FakeClock()
    window, seen = TimeWindow(5, clock), []
    for at, failed, latency_s in ((0, 1, 0.1), (0.1, 0, 0.1), (0.8, 1, 1.0)):
        clock.now = at
        window.add(failed=bool(failed), slow=latency_s >= 1, latency_s=latency_s)
    for at in (4.8, 5.8):
        clock.now = at
        window.refresh()
        seen += [window.calls, window.failed, window.slow]
    return tuple(seen)


@case("11b", TIME, "7 calls, one a second later drops three: calls, ok, failed",
      (5, 4, 1))  # fmt: skip
def _() -> Any:
    clock = FakeClock()
    window = TimeWindow(5, clock)
    calls = ((0, 1), (0.1, 0), (0.2, 1), (1, 0), (2, 1), (3, 0), (4, 0), (5, 0))
    for at, failed in calls:
        clock.now = at
        window.add(failed=bool(failed), slow=False)
    return window.calls, window.calls - window.failed, window.failed


def _verdict(code: str | None, **how: Any) -> str:
    return classify(code, **({"cancelled_by": None, "passed_on": False} | how))


@case("12a", ENVOY, "UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, ABORTED, DATA_LOSS, "
      "RESOURCE_EXHAUSTED", ("failure",) * 6)  # fmt: skip
def _() -> Any:
    return tuple(
        _verdict(code)
        for code in (
            "UNAVAILABLE",
            "DEADLINE_EXCEEDED",
            "INTERNAL",
            "ABORTED",
            "DATA_LOSS",
            "RESOURCE_EXHAUSTED",
        )
    )


@case("12b", ENVOY, "OK, UNKNOWN, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, "
      "PERMISSION_DENIED", ("success",) * 6)  # fmt: skip
def _() -> Any:
    return tuple(
        _verdict(code)
        for code in (
            "OK",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
        )
    )


@case("12c", ENVOY, "CANCELLED", "ignored",
      differs="Envoy's success; a cancelled call says nothing")  # fmt: skip
def _() -> Any:
    return _verdict("CANCELLED", cancelled_by="caller")


@case("25a", "Finagle Deadline", "nested deadlines of 5 and 1 s, both ways", (1, 1))
def _() -> Any:
    seen = []
    for outer, inner in ((5, 1), (1, 5)):
        with deadline_scope(outer), deadline_scope(inner):
            deadline = current_deadline()
            assert deadline is not None
            seen.append(round(deadline.remaining()))
    return tuple(seen)


@case("26a", "Go singleflight", "100 callers at once: loads, joined", (1, 99))
def _() -> Any:
    async def run() -> tuple[int, int]:
        cache: Coalescer[str, int] = Coalescer(CacheConfig())
        loads = 0

        async def load() -> int:
            nonlocal loads
            loads += 1
            await asyncio.sleep(0)
            return loads

        found = await asyncio.gather(*(cache.get("k", load) for _ in range(100)))
        return loads, sum(one.source == "joined" for one in found)

    return asyncio.run(run())


@case("26b", "RFC 5861", "ttl 1 s, stale 9 s: served after .5, 5 and 11 s",
      ("fresh", "stale", "gone"))  # fmt: skip
def _() -> Any:
    config = CacheConfig(ttl_s=1, stale_s=9, jitter=0)
    copies: Copies[str, int] = Copies(FakeClock(), random.Random(0))
    copies.keep("k", Aged(1, 0.0), 0.0, config, replaced=False)
    return tuple(copies.look("k", config, now)[0] for now in (0.5, 5.0, 11.0))


def _early(beta: float, before_s: float) -> int:
    """Return the percentage of reads *before_s* before expiry that begin a load."""
    copies: Copies[str, int] = Copies(clock := FakeClock(), random.Random(15))
    config = CacheConfig(ttl_s=100, jitter=0, early_refresh_beta=beta)
    clock.advance(1.0)
    copies.keep("k", Aged(1, 0.0), 0.0, config, replaced=False)
    clock.now = 100 - before_s
    reads = [copies.look("k", config, clock())[0] for _ in range(20_000)]
    return round(100 * reads.count("early") / len(reads))


@case("27a", XFETCH, "load of 1 s, beta 1, read 2 s before expiry: early %", 14)
def _() -> Any:
    return _early(1.0, 2.0)


@case("27b", XFETCH, "the same with beta 2", 37)
def _() -> Any:
    return _early(2.0, 2.0)


@case("27c", XFETCH, "the same with beta 1, 10 s before", 0)
def _() -> Any:
    return _early(1.0, 10.0)


@case("28a", "DDSketch, HdrHistogram", "10 000 log-normal values: p50, p99 within 5 %",
      (True, True))  # fmt: skip
def _() -> Any:
    rng, found = random.Random(28), Percentiles(clock=FakeClock())
    latencies = sorted(rng.lognormvariate(-3, 1.5) for _ in range(10_000))
    for latency in latencies:
        found.record(latency)
    right = []
    for fraction in (0.5, 0.99):
        exact = latencies[math.ceil(fraction * len(latencies)) - 1]
        value = found.value(fraction)
        right.append(value is not None and abs(value / exact - 1) <= 0.05)
    return tuple(right)
