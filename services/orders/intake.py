"""The intake: orders of regions that cannot take them, held until they can."""

import asyncio

from cockroach.ids import PublicId
from services.orders.domain import Request
from services.orders.intake_store import Held, IntakeState, IntakeStore, promised
from services.orders.prices import PriceList
from services.runtime.errors import key_reused, precondition


class Intake:
    """Takes other regions' orders into this region's database.

    `taken` is set with every order, so that the drainer need not look all the time.
    """

    def __init__(self, store: IntakeStore, prices: PriceList, *, region: str) -> None:
        self._store = store
        self._prices = prices
        self._region = region
        self.taken = asyncio.Event()

    async def accept(self, request: Request) -> Held:
        """Take the order, durably, before this returns.

        Raises WRONG_REGION for an order that is at home here,
        IDEMPOTENCY_KEY_REUSED, and what the price list raises.
        """
        if request.home == self._region:
            raise precondition(
                "WRONG_REGION",
                "an intake takes the orders of other regions",
                home_region=request.home,
            )
        lines, currency = await self._prices.lines(request.wishes)
        held = await self._store.hold(promised(request, lines, currency))
        if held.fingerprint != request.fingerprint:
            raise key_reused(request.key)
        self.taken.set()
        return held

    async def find(self, order: PublicId) -> Held | None:
        """Return what this region promised of an order that its home may lack."""
        held = await self._store.find(order)
        return held if held and held.state is not IntakeState.DRAINED else None
