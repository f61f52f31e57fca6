"""After an outage connections come back one by one, each process at its own time."""

from __future__ import annotations

import random

from cockroach.warmth import Warmth


class Fleet:
    """Notes when each connection would be opened."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.now = 0.0
        self.opened: list[float] = []

    async def fill(self, gateways, *, at_most=None, pace=None) -> None:
        pause = pace() if pace else None
        for _ in range(at_most or self.size):
            if pause is not None:
                await pause()
            self.opened.append(self.now)


class Router:
    def candidates(self, policy, region):
        return ("one",)


async def test_a_crowd_of_processes_does_not_come_back_together(policy) -> None:
    """Of 100 processes with 4 connections no 0.1 s sees a seventh of them all."""
    opened: list[float] = []
    chosen = policy(warm=True, pool_size=4, warm_spread_s=1.0)
    for seed in range(100):
        fleet = Fleet(4)

        async def sleep(seconds: float, fleet: Fleet = fleet) -> None:
            fleet.now += seconds

        one = Warmth(fleet, Router(), region="eu", rng=random.Random(seed), sleep=sleep)
        await one.fill(chosen, spread=True)
        opened += fleet.opened

    busiest = max(sum(n / 10 <= at < (n + 1) / 10 for at in opened) for n in range(10))
    assert 400 == len(opened)
    assert max(opened) <= 1.0
    assert busiest < 60


async def test_a_start_does_not_wait(policy) -> None:
    """Before readiness there is no crowd to spread."""
    fleet = Fleet(2)
    one = Warmth(fleet, Router(), region="eu", rng=random.Random(1))
    await one.fill(policy(warm=True, pool_size=2))

    assert [0.0, 0.0] == fleet.opened
