"""Orders in the database of their home, in both shapes of SQL.

`*_all` is one statement for an order with its lines, `*_each` one statement for each
row inside a transaction. No order stands without its lines.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.sql import Executable

from cockroach.database import Database, Stale, Transaction
from cockroach.errors import ConstraintError
from cockroach.ids import PublicId
from services.orders import statements as sql
from services.orders.domain import Order, OrderLine, OrderState, before

_FOREIGN_KEY = "23503"


class UnknownCustomerError(Exception):
    """There is no such customer in the order's region."""

    def __init__(self, customer: PublicId) -> None:
        self.customer = customer
        super().__init__(f"no customer {customer}")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of a history begins: older than this order."""

    before: datetime
    before_id: UUID

    @property
    def place(self) -> tuple[datetime, UUID]:
        """The cursor as orders of a history are sorted by."""
        return self.before, self.before_id

    def token(self) -> str:
        """Return the cursor as an opaque page token."""
        text = f"{self.before.isoformat()}/{self.before_id}"
        return base64.urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def parse(cls, token: str) -> "Cursor":
        """Read a token of ours; the empty one is the newest page. Raises ValueError."""
        if not token:
            return NEWEST
        when, _, order = (
            base64.urlsafe_b64decode(token.encode()).decode().partition("/")
        )
        before = datetime.fromisoformat(when)
        if before.tzinfo is None:
            raise ValueError("a page token names an instant")
        return cls(before, UUID(order))


NEWEST = Cursor(datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))


class OrderStore:
    """The orders of every region, each reached at its home."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def accept_all(self, order: Order) -> Order:
        """Write the order unless its key is taken; return the one that stands.

        Raises:
            UnknownCustomerError: the region has no such customer; nothing is written.
        """
        lines = order.lines
        try:
            written = await self._database.execute(
                order.id.region,
                sql.ACCEPT,
                {
                    **_head(order),
                    "line_nos": list(range(1, len(lines) + 1)),
                    "products": [line.product_id for line in lines],
                    "quantities": [line.quantity for line in lines],
                    "prices": [line.unit_price_minor for line in lines],
                },
            )
        except ConstraintError as error:
            raise _unknown_customer(error, order) from error
        if written.rowcount:
            return order
        found = await self.by_key(order.id.region, order.key)
        assert found is not None, "an order is never deleted"
        return found

    async def accept_each(self, order: Order) -> Order:
        """Write row by row, in a transaction. Raises as `accept_all`."""
        home = order.id.region

        async def work(transaction: Transaction) -> bool:
            written = await transaction.execute(sql.INSERT_ORDER, _head(order))
            if not written.rowcount:
                return False
            for number, line in enumerate(order.lines, 1):
                await transaction.execute(
                    sql.INSERT_ITEM,
                    {
                        **_of(order.id),
                        "line_no": number,
                        "product": line.product_id,
                        "count": line.quantity,
                        "unit_price_minor": line.unit_price_minor,
                    },
                )
            return True

        try:
            if await self._database.transaction(home, work):
                return order
        except ConstraintError as error:
            raise _unknown_customer(error, order) from error
        found = await self.by_key(home, order.key)
        assert found is not None, "an order is never deleted"
        return found

    async def move(self, order: Order, state: OrderState, reason: str = "") -> bool:
        """Write the order's next state; False when it may not leave its own."""
        moved = await self._database.execute(
            order.id.region,
            sql.MOVE,
            {
                **_of(order.id),
                "new_state": state,
                "reason": reason,
                "expected": [str(one) for one in before(state)],
                "now": self._now(),
            },
        )
        return moved.rowcount == 1

    async def claim(self, order: PublicId, seen: datetime) -> bool:
        """Take over an order last touched at `seen`; False when another was faster."""
        claimed = await self._database.execute(
            order.region, sql.CLAIM, {**_of(order), "seen": seen, "now": self._now()}
        )
        return claimed.rowcount == 1

    async def by_key(self, region: str, key: str) -> Order | None:
        """Return the order with an idempotency key, or None."""
        rows = await self._database.fetch(
            region, sql.ORDER_BY_KEY, {"region": region, "key": key}
        )
        return next(iter(_orders(rows)), None)

    async def find_all(self, region: str, ids: Sequence[UUID]) -> list[Order]:
        """Return those of the orders that exist, in one statement."""
        if len(ids) == 1:
            found = await self._database.fetch(
                region, sql.ORDER_BY_ID, {"region": region, "order": ids[0]}
            )
        else:
            found = await self._database.fetch(
                region, sql.ORDERS_BY_ID, {"region": region, "ids": list(ids)}
            )
        return _orders(found)

    async def find_each(self, region: str, ids: Sequence[UUID]) -> list[Order]:
        """Return the same, with a statement for each order and one for its lines."""
        found = []
        for order in ids:
            which = {"region": region, "order": order}
            heads = await self._database.fetch(region, sql.HEAD, which)
            if heads:
                items = await self._database.fetch(region, sql.ITEMS, which)
                found.append(_order(heads[0], items))
        return found

    async def state(self, order: PublicId) -> OrderState | None:
        """Return an order's state alone, or None where there is no such order."""
        rows = await self._database.fetch(order.region, sql.STATE, _of(order))
        return OrderState(rows[0].state) if rows else None

    async def page(
        self,
        customer: PublicId,
        cursor: Cursor,
        limit: int,
        *,
        naive: bool,
        lines: bool,
    ) -> list[Order]:
        """Return a customer's orders older than the cursor, newest first.

        The naive page joins the lines whether anybody wants them or not.
        """
        statement = sql.PAGE_NAIVE if naive else _page_statement(lines=lines)
        rows = await self._database.fetch(
            customer.region, statement, _page(customer, cursor, limit)
        )
        return _orders(rows) if naive or lines else _without_lines(rows)

    async def page_of_copy(
        self,
        customer: PublicId,
        cursor: Cursor,
        limit: int,
        *,
        at_most_s: float,
        lines: bool,
    ) -> tuple[list[Order], float]:
        """Return the same from a copy, and how many seconds old it is at most.

        Raises DatabaseUnavailableError without a copy that is fresh enough.
        """
        found = await self._database.fetch_copy(
            customer.region,
            # A copy has the rows of its own region and no others to search.
            _page_statement(lines=lines),
            _page(customer, cursor, limit),
            stale=Stale(at_most_s),
        )
        read = _orders if lines else _without_lines
        return read(found.result.rows), found.behind_s

    async def abandoned(
        self, region: str, age_s: float, limit: int
    ) -> list[tuple[PublicId, datetime]]:
        """Return unfinished orders that nobody touched for `age_s` seconds."""
        since = self._now() - timedelta(seconds=age_s)
        rows = await self._database.fetch(
            region, sql.ABANDONED, {"region": region, "since": since, "limit": limit}
        )
        return [(PublicId(region, row.id), row.updated_at) for row in rows]


def _unknown_customer(error: ConstraintError, order: Order) -> Exception:
    if error.sqlstate == _FOREIGN_KEY:
        return UnknownCustomerError(order.customer)
    return error


def _of(order: PublicId) -> dict[str, Any]:
    return {"region": order.region, "order": order.uuid}


def _page_statement(*, lines: bool) -> Executable:
    return sql.PAGE_LOCAL if lines else sql.PAGE_SUMMARY


def _page(customer: PublicId, cursor: Cursor, limit: int) -> dict[str, Any]:
    return {
        "region": customer.region,
        "customer": customer.uuid,
        "before": cursor.before,
        "before_id": cursor.before_id,
        "limit": limit,
    }


def _head(order: Order) -> dict[str, Any]:
    return {
        **_of(order.id),
        "customer": order.customer_id,
        "key": order.key,
        "fingerprint": order.fingerprint,
        "new_state": order.state,
        "total_minor": order.total_minor,
        "currency": order.currency,
        "reason": order.rejection or None,
        "card_token": order.card_token,
        "now": order.created_at,
    }


def _orders(rows: Iterable[Any]) -> list[Order]:
    heads: dict[UUID, Any] = {}
    items: dict[UUID, list[Any]] = {}
    for row in rows:
        heads.setdefault(row.id, row)
        items.setdefault(row.id, []).append(row)
    return [_order(head, items[id_]) for id_, head in heads.items()]


def _without_lines(rows: Iterable[Any]) -> list[Order]:
    return [replace(_order(row, ()), summed_minor=row.total_minor) for row in rows]


def _order(head: Any, items: Iterable[Any]) -> Order:
    return Order(
        id=PublicId(head.crdb_region, head.id),
        customer_id=head.customer_id,
        key=head.idem_key,
        fingerprint=head.fingerprint,
        state=OrderState(head.state),
        lines=tuple(
            OrderLine(item.product_id, item.quantity, item.unit_price_minor)
            for item in items
        ),
        currency=head.currency,
        rejection=head.rejection or "",
        card_token=head.card_token,
        created_at=head.created_at,
        updated_at=head.updated_at,
    )
