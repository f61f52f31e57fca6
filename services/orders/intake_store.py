"""Orders that this region holds for others, in this region's database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from cockroach.database import Database
from cockroach.ids import PublicId
from services.orders import intake_statements as sql
from services.orders.domain import Order, OrderLine, OrderState, Request, Wish


class IntakeState(StrEnum):
    """Where a held order stands."""

    HELD = "held"
    DRAINED = "drained"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An order held for its home."""

    request: Request
    fingerprint: str
    state: IntakeState
    rejection: str
    created_at: datetime

    @property
    def order(self) -> Order:
        """The order as this region promises it."""
        request = self.request
        rejected = self.state is IntakeState.REJECTED
        return Order(
            id=request.order_id,
            customer_id=request.customer.uuid,
            key=request.key,
            fingerprint=self.fingerprint,
            state=OrderState.REJECTED if rejected else OrderState.ACCEPTED,
            lines=request.promised,
            currency=request.currency,
            rejection=self.rejection,
            card_token=request.card_token,
            created_at=self.created_at,
            updated_at=self.created_at,
        )


class IntakeStore:
    """The intake of one region; every row is at home here, whoever's order it is."""

    def __init__(
        self, database: Database, *, region: str, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._region = region
        self._now = now

    async def hold(self, request: Request) -> Held:
        """Write the order down unless its key is known; return the one that stands."""
        now = self._now()
        written = await self._database.execute(
            self._region,
            sql.HOLD,
            {
                "region": self._region,
                "order": request.order_id.uuid,
                "home": request.home,
                "customer": request.customer.uuid,
                "key": request.key,
                "fingerprint": request.fingerprint,
                "body": _body(request),
                "now": now,
            },
        )
        if written.rowcount:
            return Held(
                request=request,
                fingerprint=request.fingerprint,
                state=IntakeState.HELD,
                rejection="",
                created_at=now,
            )
        rows = await self._database.fetch(
            self._region,
            sql.BY_KEY,
            {"region": self._region, "home": request.home, "key": request.key},
        )
        return _held(rows[0])

    async def find(self, order: PublicId) -> Held | None:
        """Return what is known of an order here, or None."""
        rows = await self._database.fetch(
            self._region, sql.BY_ID, {"region": self._region, "order": order.uuid}
        )
        return _held(rows[0]) if rows else None

    async def held(self, limit: int, away: Sequence[str] = ()) -> list[Held]:
        """Return orders still to be brought home, oldest first.

        Those of the homes that are `away` are left out: they come to no harm.
        """
        rows = await self._database.fetch(
            self._region,
            sql.HELD,
            {"region": self._region, "limit": limit, "away": [*away]},
        )
        return [_held(row) for row in rows]

    async def settle(self, held: Held, state: IntakeState, rejection: str = "") -> None:
        """Write down that an order is home, or why it is not wanted there."""
        request = held.request
        await self._database.execute(
            self._region,
            sql.SETTLE,
            {
                "region": self._region,
                "order": request.order_id.uuid,
                "new_state": state,
                "new_body": {**_body(request), "rejection": rejection},
                "now": self._now(),
            },
        )


def _body(request: Request) -> dict[str, Any]:
    return {
        "lines": [
            [line.product_id, line.quantity, line.unit_price_minor]
            for line in request.promised
        ],
        "currency": request.currency,
        "card_token": request.card_token,
    }


def _held(row: Any) -> Held:
    lines = tuple(OrderLine(*line) for line in row.body["lines"])
    request = Request(
        customer=PublicId(row.home_region, row.customer_id),
        wishes=tuple(Wish(line.product_id, line.quantity) for line in lines),
        card_token=row.body["card_token"],
        key=row.idem_key,
        promised=lines,
        currency=row.body["currency"],
    )
    return Held(
        request=request,
        fingerprint=row.fingerprint,
        state=IntakeState(row.state),
        rejection=row.body.get("rejection", ""),
        created_at=row.created_at,
    )


def promised(request: Request, lines: tuple[OrderLine, ...], currency: str) -> Request:
    """Return the request with the prices that the customer is told."""
    return replace(request, promised=lines, currency=currency)
