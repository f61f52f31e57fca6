"""Goes on with orders that were left: handed over, broken off, or found abandoned.

Nothing here is needed for safety, only for completion: every step may be repeated
and two runs of one order do no harm.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence

from opentelemetry.trace import Tracer

from cockroach.database import Database
from cockroach.errors import DatabaseError
from cockroach.ids import PublicId
from observability import names
from services.orders.runner import Runner
from services.orders.store import OrderStore
from services.orders.unfinished import Unfinished
from services.runtime.policy import PolicySet

#: How long an order is its process's own. Longer than any customer's deadline, so
#: that what is found abandoned was left by a process that is no more.
LEASE_S = 15.0
SCAN_S = 3.0
#: Pause between rounds while there is work, and after one that got stuck.
ROUND_S = 0.1
STUCK_S = 0.5
AT_ONCE = 4
ROUND = 32


class Resumer:
    """The background work of one region's orders."""

    def __init__(
        self,
        *,
        store: OrderStore,
        runner: Runner,
        unfinished: Unfinished,
        database: Database,
        region: str,
        policies: Callable[[], PolicySet],
        tracer: Tracer,
        rng: random.Random,
        lease_s: float = LEASE_S,
        scan_s: float = SCAN_S,
    ) -> None:
        self._store = store
        self._runner = runner
        self._unfinished = unfinished
        self._database = database
        self._region = region
        self._policies = policies
        self._tracer = tracer
        self._rng = rng
        self._lease_s = lease_s
        self._scan_s = scan_s

    async def resume_for_ever(self) -> None:
        """Work through what this process left unfinished."""
        while True:
            await self._unfinished.there.wait()
            moved = await self.round()
            await asyncio.sleep(
                (ROUND_S if moved else STUCK_S) * self._rng.uniform(0.5, 1.5)
            )

    async def scan_for_ever(self) -> None:
        """Find what others abandoned in this region."""
        while True:
            await asyncio.sleep(self._scan_s * self._rng.uniform(0.7, 1.3))
            with contextlib.suppress(DatabaseError):
                await self.scan()

    async def round(self) -> bool:
        """Run some of the unfinished orders; tell whether any got anywhere.

        An order whose home is in trouble waits: asking would only add to it.
        """
        orders = self._unfinished.take(ROUND)
        ready = [order for order in orders if self._ready(order)]
        for order in orders:
            if order not in ready and self._ours(order):
                self._unfinished.add(order)
        return any(await self._run_all(ready))

    async def scan(self) -> int:
        """Claim orders nobody touched for a lease; return how many."""
        if self._database.suspect(self._region):
            return 0
        claimed = 0
        for order, seen in await self._store.abandoned(
            self._region, self._lease_s, ROUND
        ):
            if order not in self._unfinished and await self._store.claim(order, seen):
                self._unfinished.add(order)
                claimed += 1
        return claimed

    def _ours(self, order: PublicId) -> bool:
        return order.region == self._region or self._policies().any_region

    def _ready(self, order: PublicId) -> bool:
        return self._ours(order) and not self._database.suspect(order.region)

    async def _run_all(self, orders: Sequence[PublicId]) -> list[bool]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(order: PublicId) -> bool:
            async with gate:
                return await self._run(order)

        return await asyncio.gather(*(one(order) for order in orders))

    async def _run(self, order: PublicId) -> bool:
        with self._tracer.start_as_current_span(
            "resume order", attributes={names.ORDER_ID: str(order)}
        ):
            done = False
            try:
                found = await self._store.find_all(order.region, [order.uuid])
                done = not found or not (await self._runner.run(found[0])).paused
            except DatabaseError:
                pass
            finally:
                if not done:
                    self._unfinished.add(order)
            return done
