"""Which connections are opened before anybody asks for them."""

from __future__ import annotations

import contextlib

from cockroach.errors import DatabaseError
from cockroach.fleet import Fleet
from cockroach.policy import DataPolicy
from cockroach.routing import Router
from cockroach.topology import nearest


class Warmth:
    """Fills the pools that a policy will use, if it says so.

    With `spares` also one connection to each gateway of the nearest region, for those
    who read GLOBAL tables there when their own is in trouble: opening one then costs
    nine round trips.
    """

    def __init__(self, fleet: Fleet, router: Router, *, region: str) -> None:
        self._fleet = fleet
        self._router = router
        self._region = region
        self.spares = False

    async def fill(self, policy: DataPolicy) -> None:
        """Open what is missing. Raises DatabaseError, but for no want of spares."""
        if not policy.warm:
            return
        await self._fleet.fill(
            self._router.candidates(policy.gateway_choice, self._region)
        )
        with contextlib.suppress(DatabaseError):
            await self.fill_spares(policy)

    async def fill_spares(self, policy: DataPolicy) -> None:
        """Open the spare connections that are missing. Raises DatabaseError."""
        # Round robin over all gateways has them among its own.
        if not (self.spares and policy.warm and policy.knows_homes):
            return
        for region in nearest(self._region)[:1]:
            await self._fleet.fill(
                self._router.candidates(policy.gateway_choice, region), at_most=1
            )

    async def fill_quietly(self, policy: DataPolicy) -> None:
        """Open what is missing, and leave it to the next statement where it fails."""
        with contextlib.suppress(DatabaseError):
            await self.fill(policy)
