"""What a storefront knows without asking: address blocks and corporate customers."""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

from cockroach.errors import DatabaseError
from cockroach.ids import PublicId
from services.storefront.domain import Address, Countries, Decision, IpRouter
from services.storefront.store import StorefrontStore

logger = logging.getLogger(__name__)

REFRESH_S = 60.0
RETRY_S = 2.0


class Directory:
    """Read once at the start and again every minute; what was read last holds."""

    def __init__(
        self, store: StorefrontStore, *, region: str, countries: Sequence[Countries]
    ) -> None:
        self._store = store
        self._region = region
        self._countries = countries
        self._router = IpRouter((), countries=countries, default=region)
        self._corporate: frozenset[UUID] = frozenset()

    def route(self, address: Address | None) -> Decision:
        """Tell where a visitor belongs by address."""
        if address is None:
            return Decision(region=self._region, rule="default", block="local")
        return self._router.decide(address)

    def segment(self, customer: PublicId | None) -> str:
        """Tell a customer's segment; it is known at their home only."""
        if customer is None:
            return "anonymous"
        if customer.region != self._region:
            return "away"
        return "corporate" if customer.uuid in self._corporate else "consumer"

    async def refresh(self) -> bool:
        """Read everything again; tell whether that worked."""
        try:
            blocks = await self._store.blocks()
            corporate = await self._store.corporate()
        except DatabaseError as error:
            logger.warning("the directory stays as it was: %s", error)
            return False
        self._router = IpRouter(blocks, countries=self._countries, default=self._region)
        self._corporate = corporate
        return True

    async def follow(self) -> None:
        """Refresh for ever."""
        fresh = True
        while True:
            await asyncio.sleep(REFRESH_S if fresh else RETRY_S)
            fresh = await self.refresh()
