"""Reads that were asked for one by one and are sent together.

All reads of one turn of the event loop become one statement for a home and a table,
so that code which asks row by row, in whatever function, costs one trip. The idea is
that of Facebook's DataLoader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Row, Table, bindparam, select

from cockroach.batches import any_of
from resilience import deadline_scope

if TYPE_CHECKING:
    from cockroach.database import Database

K = TypeVar("K")
V = TypeVar("V")

Load = Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]

_MOST_KEYS = 500


class Gather(Generic[K, V]):
    """Collects the keys of one turn of the event loop and loads them in one go.

    `load` gets each key once and at most `at_most` of them; more are loaded by several
    calls at the same time. A key that it does not know gives None. An error of a load
    goes to all who wait for it, one who gives up takes nobody along, and nothing is
    remembered from one turn to the next. For one event loop.
    """

    def __init__(self, load: Load[K, V], *, at_most: int = _MOST_KEYS) -> None:
        if at_most < 1:
            raise ValueError("at_most must be at least 1")
        self._load = load
        self._at_most = at_most
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Gather {len(self._waiting)} waiting, {len(self._tasks)} loading>"

    async def get(self, key: K) -> V | None:
        """Return the key's value. Raises what the load raised."""
        future = self._waiting.get(key)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._waiting[key] = loop.create_future()
            if len(self._waiting) == 1:
                self._start(self._turn())
        # Shielded: one who gives up must not take the others' answer along.
        return await asyncio.shield(future)

    async def _turn(self) -> None:
        # Those who were started in this turn ask before us only if we let them.
        await asyncio.sleep(0)
        waiting, self._waiting = self._waiting, {}
        keys = list(waiting)
        parts = [
            {key: waiting[key] for key in keys[first : first + self._at_most]}
            for first in range(0, len(keys), self._at_most)
        ]
        for part in parts[1:]:
            self._start(self._flush(part))
        await self._flush(parts[0])

    async def _flush(self, waiting: Mapping[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._load(list(waiting))
        except BaseException as error:
            for future in waiting.values():
                if not future.done():
                    future.set_exception(error)
                    # Nobody may be left to hear of it.
                    future.exception()
            if not isinstance(error, Exception):
                raise
        else:
            for key, future in waiting.items():
                if not future.done():
                    future.set_result(found.get(key))

    def _start(self, work: Any) -> None:
        # What one caller's deadline would end, the others still wait for.
        with deadline_scope(None):
            task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class RowLoader:
    """Rows of one table by the rest of their key, each turn one statement a home.

    `key` is the column that tells rows of one region apart; REGIONAL tables are asked
    for the rows of the home they were asked for and no others. `columns` are those to
    read, all by default.
    """

    def __init__(
        self,
        database: Database,
        key: ColumnElement[Any],
        *,
        columns: Sequence[ColumnElement[Any]] = (),
        at_most: int = _MOST_KEYS,
    ) -> None:
        table: Any = key.table
        assert isinstance(table, Table)
        self._database = database
        self._at_most = at_most
        region = table.c.get("crdb_region")
        self._statement = select(key.label("loader_key"), *(columns or table.c)).where(
            any_of(key, "keys")
        )
        self._regional = region is not None
        if region is not None:
            self._statement = self._statement.where(
                region == bindparam("region", type_=region.type)
            )
        self._homes: dict[str, Gather[Any, Row[Any]]] = {}

    async def get(self, home: str, key: Any) -> Row[Any] | None:
        """Return the row, or None. Raises DatabaseError."""
        gather = self._homes.get(home)
        if gather is None:

            async def load(keys: Sequence[Any]) -> Mapping[Any, Row[Any]]:
                return await self._rows(home, keys)

            gather = self._homes[home] = Gather(load, at_most=self._at_most)
        return await gather.get(key)

    async def _rows(self, home: str, keys: Sequence[Any]) -> Mapping[Any, Row[Any]]:
        values: dict[str, Any] = {"keys": list(keys)}
        if self._regional:
            values["region"] = home
        rows = await self._database.fetch(home, self._statement, values)
        return {row.loader_key: row for row in rows}
