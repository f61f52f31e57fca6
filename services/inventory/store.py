"""Stock and reservations in the database, in both shapes of SQL.

`*_all` is one statement for an order, `*_each` one statement for each item inside a
transaction. Both take all or nothing, once per order, and never more than there is.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from cockroach.database import Database, Transaction
from cockroach.ids import PublicId
from services.inventory import statements as sql
from services.inventory.domain import (
    Line,
    OutOfStockError,
    ReservationClosedError,
    ReservationState,
    Standing,
    as_json,
    from_json,
    short,
    still_to_take,
)


class InventoryStore:
    """The stock of every region, each reached at its home."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def available_all(
        self, region: str, products: Sequence[str]
    ) -> dict[str, int]:
        """Return what may be sold of each product that the region stocks."""
        rows = await self._database.fetch(
            region, sql.AVAILABLE, {"region": region, "products": list(products)}
        )
        return {row.product_id: row.available for row in rows}

    async def available_each(
        self, region: str, products: Sequence[str]
    ) -> dict[str, int]:
        """Return the same, one product after the other."""
        found: dict[str, int] = {}
        for product in products:
            rows = await self._database.fetch(
                region, sql.AVAILABLE_ONE, {"region": region, "product": product}
            )
            found.update({row.product_id: row.available for row in rows})
        return found

    async def reserve_all(self, order: PublicId, lines: Sequence[Line]) -> None:
        """Take every line in one statement.

        Raises:
            OutOfStockError: not enough; nothing was taken.
            ReservationClosedError: the order's reservation was released before.
        """
        rows = await self._database.fetch(
            order.region, sql.RESERVE, self._asked(order, lines)
        )
        if _left_to_take(lines, rows):
            # Begun item by item, broken off, and now repeated in one go.
            await self.reserve_each(order, lines)

    async def reserve_together(
        self, wanted: Sequence[tuple[PublicId, Sequence[Line]]]
    ) -> list[Exception | None]:
        """Take the lines of several orders of one region in one transaction.

        Each order gets all its lines or none, whatever becomes of the others: gives
        for each None, or what `reserve_all` would have raised.
        """
        begun: list[int] = []

        async def work(transaction: Transaction) -> list[Exception | None]:
            begun.clear()
            outcomes: list[Exception | None] = []
            for number, (order, lines) in enumerate(wanted):
                rows = await transaction.fetch(sql.RESERVE, self._asked(order, lines))
                try:
                    if _left_to_take(lines, rows):
                        begun.append(number)
                except (OutOfStockError, ReservationClosedError) as refused:
                    outcomes.append(refused)
                else:
                    outcomes.append(None)
            return outcomes

        found = await self._database.transaction(wanted[0][0].region, work)
        for number in begun:
            try:
                await self.reserve_each(*wanted[number])
            except (OutOfStockError, ReservationClosedError) as refused:
                found[number] = refused
        return found

    async def reserve_each(self, order: PublicId, lines: Sequence[Line]) -> None:
        """Take the lines one by one in a transaction. Raises as `reserve_all`."""

        async def work(transaction: Transaction) -> None:
            # Written before it is looked for: a row that was looked for in vain makes
            # every other new reservation a conflict.
            opened = await transaction.execute(
                sql.OPEN, {**self._at(order), "lines": as_json(lines)}
            )
            if opened.rowcount:
                for line in lines:
                    await self._take(transaction, order, line)
                return
            standing = await self._stand(transaction, order)
            taking = still_to_take(lines, standing)
            for line in taking:
                await self._take(transaction, order, line)
            if taking:
                held = as_json((*standing.held, *taking))
                await transaction.execute(
                    sql.REWRITE, {**self._at(order), "lines": held}
                )

        await self._database.transaction(order.region, work)

    async def commit(self, order: PublicId) -> None:
        """Make the reservation a sale. Raises ReservationClosedError."""
        done = await self._database.execute(order.region, sql.COMMIT, self._at(order))
        if done.rowcount:
            return
        state = (await self.standing(order)).state
        if state is not ReservationState.COMMITTED:
            raise ReservationClosedError(state)

    async def release_all(self, order: PublicId) -> None:
        """Give back what the order holds or bought; it never takes anything again."""
        given = await self._database.execute(order.region, sql.RELEASE, self._at(order))
        if given.rowcount:
            return
        forbidden = await self._database.execute(
            order.region, sql.FORBID, self._at(order)
        )
        if forbidden.rowcount:
            return
        if (await self.standing(order)).state is not ReservationState.RELEASED:
            # Taken between the two statements.
            await self.release_each(order)

    async def release_each(self, order: PublicId) -> None:
        """Do the same item by item in a transaction."""

        async def work(transaction: Transaction) -> None:
            standing = await self._stand(transaction, order)
            match standing.state:
                case None:
                    await transaction.execute(sql.FORBID, self._at(order))
                case ReservationState.RESERVED | ReservationState.COMMITTED:
                    for line in standing.held:
                        await transaction.execute(sql.RETURN_ONE, _line(order, line))
                    await transaction.execute(sql.CLOSE, self._at(order))
                case ReservationState.RELEASED:
                    pass

        await self._database.transaction(order.region, work)

    async def standing(self, order: PublicId) -> Standing:
        """Return the order's reservation as it is now."""
        rows = await self._database.fetch(order.region, sql.RESERVATION, _of(order))
        return _standing(rows[0]) if rows else Standing()

    async def _stand(self, transaction: Transaction, order: PublicId) -> Standing:
        rows = await transaction.fetch(sql.RESERVATION, _of(order))
        return _standing(rows[0]) if rows else Standing()

    async def _take(
        self, transaction: Transaction, order: PublicId, line: Line
    ) -> None:
        taken = await transaction.execute(sql.TAKE_ONE, _line(order, line))
        if not taken.rowcount:
            raise OutOfStockError([line.product_id])

    def _asked(self, order: PublicId, lines: Sequence[Line]) -> dict[str, Any]:
        return self._at(order) | {
            "products": [line.product_id for line in lines],
            "quantities": [line.quantity for line in lines],
            "lines": as_json(lines),
        }

    def _at(self, order: PublicId) -> dict[str, Any]:
        return {**_of(order), "now": self._now()}


def _left_to_take(lines: Sequence[Line], rows: Sequence[Any]) -> bool:
    """Tell whether a reservation that was begun before has lines to take still.

    Raises OutOfStockError, ReservationClosedError.
    """
    first = rows[0]
    if first.fresh:
        return False
    if first.state is None:
        raise OutOfStockError(
            short(lines, {row.product_id: row.available or 0 for row in rows})
        )
    return bool(still_to_take(lines, _standing(first)))


def _of(order: PublicId) -> dict[str, Any]:
    return {"region": order.region, "order": order.uuid}


def _line(order: PublicId, line: Line) -> dict[str, Any]:
    return {
        "region": order.region,
        "product": line.product_id,
        "count": line.quantity,
    }


def _standing(row: Any) -> Standing:
    return Standing(state=ReservationState(row.state), held=from_json(row.lines))
