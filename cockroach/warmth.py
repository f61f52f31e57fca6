"""Which connections are opened before anybody asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from cockroach.errors import DatabaseError
from cockroach.fleet import Fleet
from cockroach.policy import DataPolicy
from cockroach.routing import Router
from cockroach.topology import Gateway, nearest

Pause = Callable[[], Awaitable[None]]


class Warmth:
    """Fills the pools that a policy will use, if it says so.

    With `spares` also one connection to each gateway of the nearest region, for those
    who read GLOBAL tables there when their own is in trouble: opening one then costs
    nine round trips. With `copy`, which names the copy of our own rows if there is
    one, the connections to that, for those who read it meanwhile.

    After an outage every process sees the same moment of return. Each of the k
    connections of a pool is opened at a random moment of its own k-th part of the
    policy's `warm_spread_s` then: n processes open about n k / spread a second, and
    none of them more than one at a time at a gateway.
    """

    def __init__(
        self,
        fleet: Fleet,
        router: Router,
        *,
        region: str,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fleet = fleet
        self._router = router
        self._region = region
        self._rng = rng
        self._sleep = sleep
        self.spares = False
        self.copy: Callable[[], Gateway | None] | None = None

    async def fill(self, policy: DataPolicy, *, spread: bool = False) -> None:
        """Open what is missing. Raises DatabaseError, but for no spare or copy."""
        if not policy.warm:
            return
        pace = self._pace(policy) if spread else None
        await self._fleet.fill(
            self._router.candidates(policy.gateway_choice, self._region), pace=pace
        )
        with contextlib.suppress(DatabaseError):
            await self._fill_spares(policy, pace)
        with contextlib.suppress(DatabaseError):
            if self.copy is not None and (copy := self.copy()) is not None:
                await self._fleet.fill((copy,), pace=pace)

    async def fill_quietly(self, policy: DataPolicy, *, spread: bool = False) -> None:
        """Open what is missing, and leave it to the next statement where it fails."""
        with contextlib.suppress(DatabaseError):
            await self.fill(policy, spread=spread)

    async def _fill_spares(
        self, policy: DataPolicy, pace: Callable[[], Pause] | None
    ) -> None:
        # Round robin over all gateways has them among its own.
        if not (self.spares and policy.warm and policy.knows_homes):
            return
        for region in nearest(self._region)[:1]:
            await self._fleet.fill(
                self._router.candidates(policy.gateway_choice, region),
                at_most=1,
                pace=pace,
            )

    def _pace(self, policy: DataPolicy) -> Callable[[], Pause]:
        share_s = policy.warm_spread_s / policy.pool_size

        def begin() -> Pause:
            number, last_s = 0, 0.0

            async def pause() -> None:
                nonlocal number, last_s
                moment_s = (number + self._rng.random()) * share_s
                await self._sleep(moment_s - last_s)
                number, last_s = number + 1, moment_s

            return pause

        return begin
