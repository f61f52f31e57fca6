"""Hedging in a loop with its own measurements, as "The Tail at Scale" describes it.

Dean and Barroso (CACM 2013) send a second request once the first has outlived the
95th percentile of its class, which bounds the extra load near 5 % and cuts the tail.
Calls arrive at random, most take about 10 ms, a few half a second to one second; the
percentile comes from the calls themselves, so that what is recorded of them decides
what is hedged next.

`python -m tests.unit.resilience.hedge_experiment` prints the table for the docs.
"""

import heapq
import itertools
import random
import sys
from dataclasses import dataclass

from resilience import HedgeConfig, Percentiles
from resilience._hedge import ExtraLoad, HedgeState
from resilience.testing import FakeClock

# The first thousand calls find the percentile.
_WARM = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """How long the calls took, in milliseconds, and what that cost."""

    p50_ms: float
    p99_ms: float
    hedged: float
    refused: float


class _Call:
    def __init__(self, config: HedgeConfig, started: float, delay_s: float | None):
        self.state = HedgeState(config, delay_s)
        self.started = started
        self.sent: list[float] = []
        self.over = False


def hedge(
    config: HedgeConfig | None,
    *,
    slow: float = 0.04,
    losers_count: bool = True,
    calls: int = 15_000,
) -> Tail:
    """Make *calls* at 100 a second, of whose attempts the share *slow* is slow.

    *losers_count* says whether an attempt that lost is recorded with the time it had
    run, as `Percentiles.record` asks for. No *config*, no hedges.
    """
    rng, clock, order = random.Random(2013), FakeClock(), itertools.count()
    found = Percentiles(clock=clock)
    used = config or HedgeConfig(percentile=0.95)
    load = ExtraLoad(used)
    events: list[tuple[float, int, _Call | None, int]] = []
    took: list[float] = []
    hedged = refused = 0

    def send(call: _Call) -> None:
        latency = _latency(rng, slow)
        number = call.state.send(clock())
        call.sent.append(clock())
        heapq.heappush(events, (clock() + latency, next(order), call, number))
        if config is not None and call.state.due_at is not None:
            heapq.heappush(events, (call.state.due_at, next(order), call, 0))

    pauses = (rng.expovariate(100) for _ in range(calls))
    events += [(at, next(order), None, 0) for at in itertools.accumulate(pauses)]
    while events:
        clock.now, _, call, number = heapq.heappop(events)
        if call is None:
            load.called()
            assert used.percentile is not None
            send(_Call(used, clock(), found.value(used.percentile)))
        elif call.over:
            continue
        elif number:
            call.over = True
            took.append(clock() - call.started)
            ended = call.sent if losers_count else [call.sent[number - 1]]
            for sent in ended:
                found.record(clock() - sent)
        elif load.hedge():
            hedged += 1
            send(call)
        else:
            refused += 1
    took = sorted(took[_WARM:])
    return Tail(
        p50_ms=1000 * took[len(took) // 2],
        p99_ms=1000 * took[int(0.99 * len(took))],
        hedged=hedged / calls,
        refused=refused / calls,
    )


def _latency(rng: random.Random, slow: float) -> float:
    if rng.random() < slow:
        return rng.uniform(0.5, 1.0)
    return rng.lognormvariate(-4.6, 0.3)


BOUND = HedgeConfig(percentile=0.95, extra_load=0.05)
# A bound that is never reached: the percentile alone decides.
LOOSE = HedgeConfig(percentile=0.95, extra_load=0.5, burst=1000)


def table() -> str:
    """Return the experiment's result as Markdown."""
    rows = ["| hedges | p50 | p99 | hedged | refused |", "|---|---|---|---|---|"]
    for words, tail in (
        ("none", hedge(None)),
        ("after p95, at most 5 %", hedge(BOUND)),
        ("the same, losers not recorded", hedge(BOUND, losers_count=False)),
        ("after p95, no bound", hedge(LOOSE)),
        ("the same, losers not recorded", hedge(LOOSE, losers_count=False)),
    ):
        rows.append(
            f"| {words} | {tail.p50_ms:.0f} ms | {tail.p99_ms:.0f} ms "
            f"| {tail.hedged:.1%} | {tail.refused:.1%} |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
