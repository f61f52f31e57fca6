"""Orders that this process left unfinished, to be gone on with when that can be."""

import asyncio
from collections import OrderedDict

from cockroach.ids import PublicId

#: More than this is left to whoever finds them abandoned in the database.
MAX_ORDERS = 10_000


class Unfinished:
    """A bounded queue without twins; `there` is set while something is in it."""

    def __init__(self, limit: int = MAX_ORDERS) -> None:
        self._limit = limit
        self._orders: OrderedDict[PublicId, None] = OrderedDict()
        self.there = asyncio.Event()

    def add(self, order: PublicId) -> None:
        """Remember an order; the oldest is forgotten when there are too many."""
        self._orders[order] = None
        while len(self._orders) > self._limit:
            self._orders.popitem(last=False)
        self.there.set()

    def take(self, limit: int) -> list[PublicId]:
        """Take out up to `limit` orders, oldest first."""
        taken = [
            self._orders.popitem(last=False)[0]
            for _ in range(min(limit, len(self._orders)))
        ]
        if not self._orders:
            self.there.clear()
        return taken

    def __contains__(self, order: PublicId) -> bool:
        return order in self._orders

    def __len__(self) -> int:
        return len(self._orders)

    def __repr__(self) -> str:
        return f"<Unfinished {len(self)} orders>"
