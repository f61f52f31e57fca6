"""AWS's contention experiment, with this package's own waits.

Brooker, "Exponential Backoff And Jitter" (AWS, 2015): clients want to change one row
under optimistic concurrency control. Each reads the row's version, writes with it, and
after a conflict waits and begins again; messages take about 10 ms. *Calls* are the
writes that reached the server, *time* is when the last client was done.

`python -m tests.unit.resilience.jitter_experiment` prints the table for the docs.
"""

import heapq
import itertools
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from resilience import RetryConfig
from resilience._retry import Jitter, RetryState
from resilience.testing import FakeClock

JITTERS: tuple[Jitter, ...] = ("none", "equal", "full", "decorrelated")
# The published base and cap, 5 ms and 2 s.
BASE_S = 0.005
CAP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contention:
    """What one way to wait cost, as means over the runs."""

    jitter: Jitter
    calls: float
    time_s: float


def contend(jitter: Jitter, *, clients: int = 100, runs: int = 5) -> Contention:
    """Let *clients* contend for one row, *runs* times, always alike."""
    rng = random.Random(2015)
    results = [_run(jitter, clients, rng) for _ in range(runs)]
    return Contention(
        jitter=jitter,
        calls=sum(calls for calls, _ in results) / runs,
        time_s=sum(time_s for _, time_s in results) / runs,
    )


def _run(jitter: Jitter, clients: int, rng: random.Random) -> tuple[int, float]:
    config = RetryConfig(
        attempts=10_000, backoff_s=BASE_S, backoff_max_s=CAP_S, jitter=jitter
    )
    clock = FakeClock()
    events: list[tuple[float, int, Iterator[float]]] = []
    order = itertools.count()
    version = calls = 0

    def client() -> Iterator[float]:
        """Yield how long each step takes; the version is read in between."""
        nonlocal version, calls
        state = RetryState(config, started=0.0, clock=clock, rng=rng)
        while True:
            yield _delay(rng)  # the read arrives
            seen = version
            yield _delay(rng) + _delay(rng)  # its answer comes, the write arrives
            calls += 1
            if seen == version:
                version += 1
                return
            yield _delay(rng) + state.next_delay()  # the conflict comes back

    def go_on(one: Iterator[float]) -> None:
        step_s = next(one, None)
        if step_s is not None:
            heapq.heappush(events, (clock() + step_s, next(order), one))

    for _ in range(clients):
        go_on(client())
    while events:
        clock.now, _, one = heapq.heappop(events)
        go_on(one)
    assert version == clients
    return calls, clock()


def _delay(rng: random.Random) -> float:
    return abs(rng.normalvariate(0.010, 0.002))


def table(*, clients: int = 100, runs: int = 5) -> str:
    """Return the experiment's result as Markdown."""
    rows = ["| jitter | calls | time |", "|---|---|---|"]
    for jitter in JITTERS:
        result = contend(jitter, clients=clients, runs=runs)
        rows.append(f"| {jitter} | {result.calls:.0f} | {result.time_s:.2f} s |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
