"""Loads by key that were asked for together, fetched together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

V = TypeVar("V")


class BatchLoader(Generic[V]):
    """Collects the keys of one turn of the event loop and loads them in one go.

    A key that the load does not know gives None. For one event loop.
    """

    def __init__(
        self, load: Callable[[Sequence[str]], Awaitable[Mapping[str, V]]]
    ) -> None:
        self._load = load
        self._waiting: dict[str, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: str) -> V | None:
        """Return the key's value. Raises what the load raised."""
        loop = asyncio.get_running_loop()
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = loop.create_future()
            if len(self._waiting) == 1:
                self._task = loop.create_task(self._flush())
        # Shielded: one who gives up must not take the others' answer along.
        return await asyncio.shield(future)

    async def _flush(self) -> None:
        # Loads started in this turn run before us only if we let them.
        await asyncio.sleep(0)
        waiting, self._waiting = self._waiting, {}
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
