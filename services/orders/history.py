"""What customers see of their orders, also while their home is in trouble."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import grpc

from cockroach.database import Database
from cockroach.errors import DatabaseError
from cockroach.ids import PublicId
from resilience import FallbackServed, Listener
from services.orders.domain import Order, OrderState
from services.orders.elsewhere import Elsewhere
from services.orders.recent import Recent
from services.orders.store import Cursor, OrderStore
from services.runtime.errors import ShopError, not_found
from services.runtime.policy import PolicySet

#: Seconds between two looks at an order that somebody watches.
WATCH_S = 0.25
#: Seconds that a copy has to answer. Less than a first connection takes over the
#: longest way: that goes on being opened, and whoever comes next finds it.
COPY_S = 1.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a history; `fallback` says why it may be less than there is.

    `age_s` is how old a copy's answer can be at most; None for any other.
    """

    orders: Sequence[Order]
    next_token: str = ""
    fallback: str = ""
    age_s: float | None = None


class HistoryHandlers:
    """Reads orders of one region."""

    def __init__(
        self,
        *,
        store: OrderStore,
        elsewhere: Elsewhere,
        recent: Recent,
        database: Database,
        policies: Callable[[], PolicySet],
        recorder: Listener,
        draining: asyncio.Event,
    ) -> None:
        self._store = store
        self._elsewhere = elsewhere
        self._recent = recent
        self._database = database
        self._policies = policies
        self._recorder = recorder
        self._draining = draining

    async def page(
        self, customer: PublicId, cursor: Cursor, size: int, *, lines: bool
    ) -> Page:
        """Return one page of a customer's orders, newest first.

        Without `lines` they are not read where that spares the database something.
        Where home cannot tell it, a copy of home's rows does, and without one what
        this process remembers.
        """
        policies = self._policies()
        if policies.fallbacks and self._database.suspect(customer.region):
            return await self._second_hand(
                customer, cursor, size, "home_suspect", lines=lines
            )
        naive = policies.query_schema == "naive"
        try:
            orders = await self._store.page(
                customer, cursor, size + 1, naive=naive, lines=lines
            )
        except DatabaseError as error:
            if not policies.fallbacks:
                raise
            return await self._second_hand(
                customer, cursor, size, type(error).__name__, lines=lines
            )
        return Page(*_cut(orders, size))

    async def order(self, order: PublicId) -> tuple[Order, str]:
        """Return an order, and why it is second-hand if it is.

        An order that its home does not have yet may be on its way from an intake.
        Raises UNKNOWN_ORDER.
        """
        policies = self._policies()
        if policies.fallbacks and self._database.suspect(order.region):
            found = self._recent.find(order) or await self._elsewhere.find(order)
            if found is not None:
                self._tell(order.region, "GetOrder", "home_suspect")
                return found, "HOME_SUSPECT"
        try:
            orders = await self._find(order.region, [order])
        except DatabaseError as error:
            found = self._recent.find(order) if policies.fallbacks else None
            if found is None:
                raise
            self._tell(order.region, "GetOrder", type(error).__name__)
            return found, "HOME_UNAVAILABLE"
        if orders:
            self._recent.see(orders[0])
            return orders[0], ""
        found = await self._elsewhere.find(order) if policies.fallbacks else None
        if found is None:
            raise not_found("UNKNOWN_ORDER", f"no order {order}")
        return found, ""

    async def orders(self, ids: Sequence[PublicId]) -> list[Order]:
        """Return those of the orders that exist, in the order asked for."""
        found: dict[PublicId, Order] = {}
        for region in dict.fromkeys(order.region for order in ids):
            local = [order for order in ids if order.region == region]
            found.update({one.id: one for one in await self._find(region, local)})
        return [found[order] for order in dict.fromkeys(ids) if order in found]

    async def watch(self, order: PublicId) -> AsyncIterator[Order]:
        """Yield an order now and after every change, until it is final.

        Raises UNKNOWN_ORDER, and SERVER_DRAINING when this process has to leave.
        """
        told: OrderState | None = None
        moved = True
        while True:
            if moved:
                found, _ = await self.order(order)
                if found.state is not told and found.state is not OrderState.REJECTING:
                    told = found.state
                    yield found
                if found.state.final:
                    return
            try:
                async with asyncio.timeout(WATCH_S):
                    await self._draining.wait()
            except TimeoutError:
                moved = await self._moved(order, told)
                continue
            raise ShopError(
                grpc.StatusCode.UNAVAILABLE,
                "SERVER_DRAINING",
                "this process leaves; watch again",
                retry_after_s=0.1,
            )

    async def _moved(self, order: PublicId, told: OrderState | None) -> bool:
        """Tell whether an order is worth reading whole: its lines never change."""
        if self._policies().fallbacks and self._database.suspect(order.region):
            return True
        try:
            return await self._store.state(order) is not told
        except DatabaseError:
            return True

    async def _find(self, region: str, ids: Sequence[PublicId]) -> list[Order]:
        batched = self._policies().sql_batching == "batched"
        find = self._store.find_all if batched else self._store.find_each
        return await find(region, [order.uuid for order in ids])

    async def _second_hand(
        self,
        customer: PublicId,
        cursor: Cursor,
        size: int,
        reason: str,
        *,
        lines: bool,
    ) -> Page:
        self._tell(customer.region, "ListOrders", reason)
        remembered = self._recent.of(customer)
        if (at_most_s := self._policies().stale_reads_s) > 0:
            try:
                async with asyncio.timeout(COPY_S):
                    copied, age_s = await self._store.page_of_copy(
                        customer, cursor, size + 1, at_most_s=at_most_s, lines=lines
                    )
            except (DatabaseError, TimeoutError):
                pass
            else:
                known = _overlaid(copied, remembered, cursor)
                return Page(*_cut(known, size), "HISTORY_FROM_COPY", age_s)
        older = [order for order in remembered if _place(order) < cursor.place]
        return Page(*_cut(older, size), "HISTORY_FROM_MEMORY")

    def _tell(self, home: str, method: str, reason: str) -> None:
        self._recorder.on_event(
            FallbackServed(target=f"database@{home}", method=method, reason=reason)
        )


def _cut(orders: Sequence[Order], size: int) -> tuple[Sequence[Order], str]:
    """Keep `size` orders; the token is of the next page if there are more."""
    kept = orders[:size]
    last = kept[-1] if kept and len(orders) > size else None
    return kept, Cursor(last.created_at, last.id.uuid).token() if last else ""


def _overlaid(
    copied: Sequence[Order], remembered: Sequence[Order], cursor: Cursor
) -> list[Order]:
    """Add what a copy does not have yet: a customer sees the order just placed."""
    known = {order.id: order for order in remembered if _place(order) < cursor.place}
    # A state never goes back, so the copy is the newer one where it is final.
    known |= {
        order.id: order
        for order in copied
        if order.state.final or order.id not in known
    }
    return sorted(known.values(), key=_place, reverse=True)


def _place(order: Order) -> tuple[datetime, UUID]:
    return order.created_at, order.id.uuid
