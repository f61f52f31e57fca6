"""A cache in which identical reads share one load, and stale copies bridge it.

One load per key and process is single flight (Go's singleflight); serving the
old copy while it runs is RFC 5861's stale-while-revalidate.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Generic

from resilience._copies import (
    Aged,
    CacheConfig,
    Cached,
    Copies,
    Copy,
    K,
    LoadCancelledError,
    Source,
    V,
)
from resilience._deadline import deadline_scope
from resilience._events import CallCoalesced, Listener, emit

__all__ = [
    "Aged",
    "CacheConfig",
    "Cached",
    "Coalescer",
    "LoadCancelledError",
    "tell",
]


async def _done(task: "asyncio.Task[Aged[V]]", within_s: float) -> bool:
    # Unlike wait_for, this leaves the load alone when the reader is cancelled.
    finished, _ = await asyncio.wait((task,), timeout=within_s)
    return bool(finished) and not task.cancelled() and task.exception() is None


def tell(listener: Listener | None, key: object, source: Source, age_s: float) -> None:
    """Tell the listener of a read that needed no load of its own."""
    event = CallCoalesced(key=str(key), source=source, age_s=age_s)
    emit(listener, event)


class Coalescer(Generic[K, V]):
    """Answers reads by key; for one event loop.

    *config* is a value or a callable that is asked at every read, so that a
    policy can change while the copies stay. Errors are cached only where the
    configuration says for how long.
    """

    def __init__(
        self,
        config: CacheConfig | Callable[[], CacheConfig],
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._listener = listener
        # What is random here spreads expiry, and is no secret.
        self._copies: Copies[K, V] = Copies(clock, rng or random.Random())  # noqa: S311
        self._loads: dict[K, asyncio.Task[Aged[V]]] = {}

    async def get(
        self,
        key: K,
        load: Callable[[], Awaitable[V | Aged[V]]],
        *,
        config: CacheConfig | None = None,
    ) -> Cached[V]:
        """Return the answer for *key*, by *load* where no copy will do.

        The age of what *load* gives as `Aged` counts on. Raises what *load* raised,
        to everybody who waited for it; LoadCancelledError where it was cancelled from
        within, as gRPC cancels the calls of a channel that closes.
        """
        if config is None:
            config = self._config() if callable(self._config) else self._config
        now = self._clock()
        verdict, copy = self._copies.look(key, config, now)
        if copy is not None and verdict in {"fresh", "early"}:
            if verdict == "early" and key not in self._loads:
                self._start(key, load, config)
            return self._served(key, copy, now, "hit")
        bridged = verdict == "failing" or config.stale_while_revalidate
        if copy is not None and bridged:
            return await self._bridge(key, copy, load, config, begin=verdict == "stale")
        try:
            if not config.single_flight:
                return self._loaded(key, await self._load(key, load, config), "fresh")
            running = self._loads.get(key)
            source: Source = "fresh" if running is None else "joined"
            # Shielded: a caller who gives up must not take the others' load along.
            found = await asyncio.shield(running or self._start(key, load, config))
        except Exception:
            if copy is not None:
                return self._served(key, copy, self._clock(), "stale")
            raise
        return self._loaded(key, found, source)

    async def refresh(self, key: K, load: Callable[[], Awaitable[V | Aged[V]]]) -> None:
        """Replace the copy of *key* now, however fresh, by a load that readers share.

        Refresh-ahead, as caches call it: asked for before a copy expires, it spares
        the next reader the load. Raises what *load* raised; the old copy stays.
        """
        config = self._config() if callable(self._config) else self._config
        running = self._loads.get(key)
        await asyncio.shield(running or self._start(key, load, config))

    def expire(self, key: K) -> None:
        """Make the copy of *key* stale now, and let nobody join a load begun before."""
        self._loads.pop(key, None)
        self._copies.expire(key)

    def expire_all(self) -> None:
        """Make every copy stale now."""
        self._loads.clear()
        self._copies.expire()

    def clear(self) -> None:
        """Forget every copy."""
        self._loads.clear()
        self._copies.clear()

    async def _bridge(
        self,
        key: K,
        copy: Copy[V],
        load: Callable[[], Awaitable[V | Aged[V]]],
        config: CacheConfig,
        *,
        begin: bool,
    ) -> Cached[V]:
        if begin:
            running = self._loads.get(key)
            task = running or self._start(key, load, config)
            # A quick load spares the reader the old copy; a slow one not the wait.
            if config.stale_wait_s and await _done(task, config.stale_wait_s):
                source: Source = "joined" if running else "fresh"
                return self._loaded(key, task.result(), source)
        return self._served(key, copy, self._clock(), "stale")

    def _loaded(self, key: K, found: Aged[V], source: Source) -> Cached[V]:
        if source == "joined":
            tell(self._listener, key, source, found.age_s)
        return Cached(value=found.value, age_s=found.age_s, stale=False, source=source)

    def _served(self, key: K, copy: Copy[V], now: float, source: Source) -> Cached[V]:
        age = now - copy.loaded_at
        stale = source == "stale"
        if stale:
            tell(self._listener, key, source, age)
        return Cached(value=copy.value, age_s=age, stale=stale, source=source)

    def _start(
        self, key: K, load: Callable[[], Awaitable[V | Aged[V]]], config: CacheConfig
    ) -> asyncio.Task[Aged[V]]:
        async def run() -> Aged[V]:
            try:
                with deadline_scope(None):
                    return await self._load(key, load, config, lambda: mine)
            except asyncio.CancelledError as error:
                if mine.cancelling():
                    raise
                # Passed on as it is, it would cancel readers whom nobody cancelled.
                raise LoadCancelledError("a shared load was cancelled") from error

        mine = asyncio.get_running_loop().create_task(run())
        self._loads[key] = mine
        mine.add_done_callback(lambda task: self._finished(key, task))
        return mine

    async def _load(
        self,
        key: K,
        load: Callable[[], Awaitable[V | Aged[V]]],
        config: CacheConfig,
        owner: "Callable[[], asyncio.Task[Aged[V]]] | None" = None,
    ) -> Aged[V]:
        def replaced() -> bool:
            return owner is not None and self._loads.get(key) is not owner()

        started = self._clock()
        try:
            # Who loads for himself has a deadline of his own.
            async with asyncio.timeout(config.load_timeout_s if owner else None):
                given = await load()
        except Exception as error:
            if not replaced():
                self._copies.failed(key, error, config)
            raise
        found = given if isinstance(given, Aged) else Aged(given, 0.0)
        self._copies.keep(key, found, started, config, replaced=replaced())
        return found

    def _finished(self, key: K, task: "asyncio.Task[Aged[V]]") -> None:
        if self._loads.get(key) is task:
            del self._loads[key]
        # Nobody may be left waiting; asyncio would complain about the error.
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()

    def __len__(self) -> int:
        return len(self._copies)

    def __repr__(self) -> str:
        return f"<Coalescer {len(self._copies)} copies, {len(self._loads)} loading>"
