"""Brings the orders that this region holds to their homes, each exactly once.

Once, because the home knows an order by its key: a second delivery finds the first.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import grpc
from opentelemetry.trace import Tracer

from cockroach.database import Database
from cockroach.errors import DatabaseError
from cockroach.ids import PublicId
from observability import names
from protos.shop.v1 import orders_pb2_grpc
from services.orders.intake import Intake
from services.orders.intake_store import Held, IntakeState, IntakeStore
from services.orders.messages import request_message
from services.runtime.errors import error_info
from services.runtime.peers import NoPeerError, Peers

#: The home says that it cannot take orders from an intake yet.
NOT_READY = "HOME_NOT_READY"
#: Statuses by which a home refuses an order for good.
REFUSALS = frozenset(
    {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
)
#: Seconds between looks without a reason: what an earlier process left is found so.
IDLE_S = 5.0
ROUND_S = 0.25
#: Seconds that a home is left alone after it could not take an order.
AWAY_S = 0.75
AT_ONCE = 4
ROUND = 64


class Drainer:
    """The background work of one region's intake."""

    def __init__(
        self,
        *,
        store: IntakeStore,
        intake: Intake,
        peers: Peers,
        database: Database,
        region: str,
        tracer: Tracer,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._intake = intake
        self._peers = peers
        self._database = database
        self._region = region
        self._tracer = tracer
        self._rng = rng
        self._clock = clock
        self._away_until: dict[str, float] = {}
        # Orders that went ahead in vain; another one does next time.
        self._vain: dict[str, set[PublicId]] = {}

    async def drain_for_ever(self) -> None:
        """Drain whenever something was taken, and now and then without a reason."""
        while True:
            self._intake.taken.clear()
            if await self.round():
                await asyncio.sleep(ROUND_S * self._rng.uniform(0.5, 1.5))
                continue
            try:
                async with asyncio.timeout(IDLE_S * self._rng.uniform(0.7, 1.3)):
                    await self._intake.taken.wait()
            except TimeoutError:
                continue

    async def round(self) -> bool:
        """Bring home what can be brought; tell whether there may be more."""
        if self._database.suspect(self._region):
            return True
        try:
            # Or the many of a home that is away would hide those of all the others.
            away = [home for home in self._away_until if self._is_away(home)]
            held = await self._store.held(ROUND, away)
        except DatabaseError:
            return True
        by_home: dict[str, list[Held]] = {}
        for one in held:
            by_home.setdefault(one.request.home, []).append(one)
        for home, orders in by_home.items():
            await self._drain(home, orders)
        return bool(held or away)

    def _is_away(self, home: str) -> bool:
        return self._clock() < self._away_until.get(home, 0.0)

    async def _drain(self, home: str, orders: Sequence[Held]) -> None:
        # One order goes ahead: a home in trouble is asked once, not once for each. Each
        # time another one, as the trouble may be with the order.
        held_now = {one.request.order_id for one in orders}
        vain = self._vain[home] = self._vain.get(home, set()) & held_now
        ahead = next((o for o in orders if o.request.order_id not in vain), None)
        if ahead is None:
            vain.clear()
            ahead = orders[0]
        if not await self._deliver(ahead):
            vain.add(ahead.request.order_id)
            self._away_until[home] = self._clock() + AWAY_S * self._rng.uniform(
                0.7, 1.3
            )
            return
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(held: Held) -> None:
            async with gate:
                await self._deliver(held)

        await asyncio.gather(*(one(held) for held in orders if held is not ahead))

    async def _deliver(self, held: Held) -> bool:
        """Bring one order home; tell whether its home is there."""
        with self._tracer.start_as_current_span(
            "drain order",
            attributes={
                names.ORDER_ID: str(held.request.order_id),
                names.HOME_REGION: held.request.home,
            },
        ):
            try:
                stub = self._peers.stub(
                    orders_pb2_grpc.OrdersStub, "orders", held.request.home
                )
                await stub.PlaceOrder(request_message(held.request))
            except NoPeerError:
                return False
            except grpc.RpcError as error:
                info = error_info(error)
                reason = info.reason if info else ""
                if error.code() not in REFUSALS or reason == NOT_READY:
                    return False
                await self._settle(held, IntakeState.REJECTED, reason)
                return True
            await self._settle(held, IntakeState.DRAINED)
            return True

    async def _settle(
        self, held: Held, state: IntakeState, rejection: str = ""
    ) -> None:
        try:
            await self._store.settle(held, state, rejection)
        except DatabaseError:
            # It is delivered again, and its home finds that it has it.
            self._intake.taken.set()
