"""Stock and reservations in the database, in both shapes of SQL.

`*_all` is one statement for an order, `*_each` one statement for each item inside a
transaction. Both take all or nothing, once per order, and never more than there is.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from cockroach.database import Database, Transaction
from cockroach.errors import DatabaseError
from cockroach.ids import PublicId
from services.inventory import shelf
from services.inventory import statements as sql
from services.inventory.domain import (
    Line,
    OutOfStockError,
    ReservationClosedError,
    ReservationState,
    Standing,
    as_json,
    from_json,
    shard_of,
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
        return {row.product_id: int(row.available) for row in rows}

    async def available_each(
        self, region: str, products: Sequence[str]
    ) -> dict[str, int]:
        """Return the same, one product after the other."""
        found: dict[str, int] = {}
        for product in products:
            rows = await self._database.fetch(
                region, sql.AVAILABLE_ONE, {"region": region, "product": product}
            )
            found.update({row.product_id: int(row.available) for row in rows})
        return found

    async def reserve_all(
        self, order: PublicId, lines: Sequence[Line], *, shards: int
    ) -> None:
        """Take every line in one statement; `shards` of a product are in use.

        Raises:
            OutOfStockError: not enough; nothing was taken.
            ReservationClosedError: the order's reservation was released before.
        """
        (row,) = await self._database.fetch(
            order.region, sql.RESERVE, self._asked(order, lines, order, shards)
        )
        if not _left_to_take(lines, row):
            return
        if row.state is None:
            left = await self.available_all(order.region, _products([lines]))
            if gone := short(lines, left):
                raise OutOfStockError(gone)
        await self.reserve_each(order, lines, shards=shards)

    async def reserve_together(
        self, wanted: Sequence[tuple[PublicId, Sequence[Line]]], *, shards: int
    ) -> list[Exception | None]:
        """Take the lines of several orders of one region in one transaction.

        All of them from the first one's shard. Each order gets all its lines or none,
        whatever becomes of the others: gives for each None, or what `reserve_all`
        would have raised. Raises DatabaseError when none of them has anything.
        """
        begun: list[int] = []
        lacking: list[int] = []
        leader = wanted[0][0]

        async def work(transaction: Transaction) -> list[Exception | None]:
            begun.clear()
            lacking.clear()
            outcomes: list[Exception | None] = [None] * len(wanted)
            for number, (order, lines) in enumerate(wanted):
                (row,) = await transaction.fetch(
                    sql.RESERVE, self._asked(order, lines, leader, shards)
                )
                try:
                    if _left_to_take(lines, row):
                        (begun if row.state else lacking).append(number)
                except ReservationClosedError as refused:
                    outcomes[number] = refused
            return outcomes

        found = await self._database.transaction(leader.region, work)
        # Those that are not named have theirs, and hear nothing of what goes wrong now.
        for number in (*begun, *await self._not_short(wanted, lacking, found)):
            try:
                await self.reserve_each(*wanted[number], shards=shards)
            except (OutOfStockError, ReservationClosedError, DatabaseError) as refused:
                found[number] = refused
        return found

    async def _not_short(
        self,
        wanted: Sequence[tuple[PublicId, Sequence[Line]]],
        lacking: Sequence[int],
        found: list[Exception | None],
    ) -> list[int]:
        """List the orders for which there is enough in all; note why not for others."""
        if not lacking:
            return []
        asked = _products(wanted[number][1] for number in lacking)
        try:
            left = await self.available_all(wanted[0][0].region, asked)
        except DatabaseError as error:
            for number in lacking:
                found[number] = error
            return []
        for number in lacking:
            if gone := short(wanted[number][1], left):
                found[number] = OutOfStockError(gone)
        return [number for number in lacking if found[number] is None]

    async def reserve_each(
        self, order: PublicId, lines: Sequence[Line], *, shards: int
    ) -> None:
        """Take the lines one by one in a transaction. Raises as `reserve_all`."""

        async def work(transaction: Transaction) -> None:
            # Written before it is looked for: a row that was looked for in vain makes
            # every other new reservation a conflict.
            opened = await transaction.execute(
                sql.OPEN, {**self._at(order), "lines": as_json(lines)}
            )
            if opened.rowcount:
                for line in lines:
                    await shelf.take(transaction, order, line, shards)
                return
            standing = await self._stand(transaction, order)
            taking = still_to_take(lines, standing)
            for line in taking:
                await shelf.take(transaction, order, line, shards)
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
                        await shelf.give_back(transaction, order, line)
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

    def _asked(
        self, order: PublicId, lines: Sequence[Line], leader: PublicId, shards: int
    ) -> dict[str, Any]:
        return self._at(order) | {
            "from_shard": shard_of(leader, shards),
            "products": [line.product_id for line in lines],
            "quantities": [line.quantity for line in lines],
            "lines": as_json(lines),
        }

    def _at(self, order: PublicId) -> dict[str, Any]:
        return {**_of(order), "now": self._now()}


def _left_to_take(lines: Sequence[Line], row: Any) -> bool:
    """Tell whether one statement was not enough: an order was begun, or lacks goods.

    It was begun item by item and broken off, or its shard is short, which says nothing
    of the others. Raises ReservationClosedError.
    """
    if row.fresh:
        return False
    return row.state is None or bool(still_to_take(lines, _standing(row)))


def _products(orders: Iterable[Sequence[Line]]) -> list[str]:
    return sorted({line.product_id for lines in orders for line in lines})


def _of(order: PublicId) -> dict[str, Any]:
    return {"region": order.region, "order": order.uuid}


def _standing(row: Any) -> Standing:
    return Standing(state=ReservationState(row.state), held=from_json(row.lines))
