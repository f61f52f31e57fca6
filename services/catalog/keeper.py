"""Keeps the lists of a process young, so that nobody waits for one that grew old.

Caches call it refresh-ahead: a copy is replaced before it expires, by a load that is
no reader's.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from cockroach.errors import DatabaseError
from services.catalog.domain import CATEGORIES, FRONT_PAGE
from services.runtime.policy import PolicySet

LISTS = (FRONT_PAGE, *CATEGORIES)
# Half of a copy's life: one failed load leaves time for another.
REFRESH_AT = 0.5
# However short a copy's life is set, this is background work.
MIN_PAUSE_S = 0.02


class Keeper:
    """Loads one list after the other, each once in half of a copy's life.

    Only where copies outlive their freshness (`stale_s`): a plain cache-aside loads
    when somebody asks. A load that fails is left to the next round; the copy it
    would have replaced stays.
    """

    def __init__(
        self,
        refresh: Callable[[str], Awaitable[object]],
        *,
        policies: Callable[[], PolicySet],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._refresh = refresh
        self._policies = policies
        self._rng = rng
        self._sleep = sleep

    async def keep_for_ever(self) -> None:
        """Load all lists once, then keep them young, until cancelled."""
        await self._round(0.0)
        while True:
            pause_s = self._policies().cache_ttl_s * REFRESH_AT / len(LISTS)
            await self._round(max(MIN_PAUSE_S, pause_s))

    async def _round(self, pause_s: float) -> None:
        for category in LISTS:
            if pause_s:
                # Processes that started together must not load together for ever.
                await self._sleep(pause_s * self._rng.uniform(0.8, 1.2))
            if not self._policies().stale_s:
                continue
            try:
                await self._refresh(category)
            except (DatabaseError, TimeoutError):
                continue
