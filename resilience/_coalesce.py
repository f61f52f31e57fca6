"""A cache in which identical reads share one load, and stale copies bridge it.

One load per key and process is single flight (Go's singleflight); serving the
old copy while it runs is RFC 5861's stale-while-revalidate.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from resilience._deadline import deadline_scope
from resilience._events import CallCoalesced, Listener, emit

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Source = Literal["fresh", "hit", "stale", "joined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """How long an answer lives, and who loads it.

    An answer is fresh for *ttl_s* seconds, shortened by up to the fraction
    *jitter* so that keys loaded together do not expire together. For *stale_s*
    more it may still be served: with one load behind it (*stale_while_revalidate*),
    by those for whom that load is not done within *stale_wait_s* seconds; or else
    only where the load fails. Without
    *single_flight* every caller loads for itself. A shared load belongs to no
    caller, so it runs without their deadlines, for *load_timeout_s* at most.
    """

    ttl_s: float = 5.0
    stale_s: float = 0.0
    max_entries: int = 1024
    jitter: float = 0.1
    single_flight: bool = True
    stale_while_revalidate: bool = True
    stale_wait_s: float = 0.0
    load_timeout_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.ttl_s, self.stale_s, self.stale_wait_s) < 0:
            raise ValueError("ttl_s, stale_s and stale_wait_s must not be negative")
        if self.max_entries < 1:
            raise ValueError("max_entries must be at least 1")
        if not 0 <= self.jitter < 1:
            raise ValueError("jitter must be in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached(Generic[V]):
    """An answer, its age in seconds, and where it came from.

    *source* is "fresh" (this call loaded it), "hit", "stale", or "joined"
    (another call was loading it already).
    """

    value: V
    age_s: float
    stale: bool
    source: Source


@dataclass(frozen=True, slots=True)
class Aged(Generic[V]):
    """What a load fetched from somebody who had loaded it *age_s* seconds before."""

    value: V
    age_s: float


async def _done(task: "asyncio.Task[V]", within_s: float) -> bool:
    # Unlike wait_for, this leaves the load alone when the reader is cancelled.
    finished, _ = await asyncio.wait((task,), timeout=within_s)
    return bool(finished) and not task.cancelled() and task.exception() is None


class _Entry(Generic[V]):
    __slots__ = ("fresh_until", "loaded_at", "stale_until", "value")

    def __init__(
        self, value: V, loaded_at: float, fresh_until: float, stale_until: float
    ) -> None:
        self.value = value
        self.loaded_at = loaded_at
        self.fresh_until = fresh_until
        self.stale_until = stale_until


class Coalescer(Generic[K, V]):
    """Answers reads by key; for one event loop.

    *config* is a value or a callable that is asked at every read, so that a
    policy can change while the copies stay. Errors are never cached.
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
        self._rng = rng or random.Random()  # noqa: S311  # spreads expiry, no secret
        self._listener = listener
        self._entries: dict[K, _Entry[V]] = {}
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
        to everybody who waited for it.
        """
        if config is None:
            config = self._config() if callable(self._config) else self._config
        entry = self._entries.get(key)
        now = self._clock()
        if entry is not None and now < entry.fresh_until:
            # Back in at the end: the first entry is the least recently read.
            del self._entries[key]
            self._entries[key] = entry
            return self._served(key, entry, now, "hit")
        stale = entry is not None and now < min(
            entry.stale_until, entry.loaded_at + config.ttl_s + config.stale_s
        )
        if stale and entry is not None and config.stale_while_revalidate:
            joins = key in self._loads
            task = self._loads[key] if joins else self._start(key, load, config)
            # A quick load spares the reader the old copy; a slow one not the wait.
            if config.stale_wait_s and await _done(task, config.stale_wait_s):
                return self._loaded(key, task.result(), "joined" if joins else "fresh")
            return self._served(key, entry, self._clock(), "stale")
        try:
            if not config.single_flight:
                return self._loaded(key, await self._load(key, load, config), "fresh")
            running = self._loads.get(key)
            source: Source = "fresh" if running is None else "joined"
            # Shielded: a caller who gives up must not take the others' load along.
            found = await asyncio.shield(running or self._start(key, load, config))
        except Exception:
            if stale and entry is not None:
                return self._served(key, entry, self._clock(), "stale")
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
        entry = self._entries.get(key)
        if entry is not None:
            entry.fresh_until = min(entry.fresh_until, self._clock())

    def expire_all(self) -> None:
        """Make every copy stale now."""
        self._loads.clear()
        now = self._clock()
        for entry in self._entries.values():
            entry.fresh_until = min(entry.fresh_until, now)

    def clear(self) -> None:
        """Forget every copy."""
        self._loads.clear()
        self._entries.clear()

    def _loaded(self, key: K, found: Aged[V], source: Source) -> Cached[V]:
        if source == "joined":
            emit(
                self._listener,
                CallCoalesced(key=str(key), source="joined", age_s=found.age_s),
            )
        return Cached(value=found.value, age_s=found.age_s, stale=False, source=source)

    def _served(
        self, key: K, entry: _Entry[V], now: float, source: Source
    ) -> Cached[V]:
        age = now - entry.loaded_at
        stale = source == "stale"
        if stale:
            emit(
                self._listener,
                CallCoalesced(key=str(key), source=source, age_s=age),
            )
        return Cached(value=entry.value, age_s=age, stale=stale, source=source)

    def _start(
        self, key: K, load: Callable[[], Awaitable[V | Aged[V]]], config: CacheConfig
    ) -> asyncio.Task[Aged[V]]:
        async def run() -> Aged[V]:
            with deadline_scope(None):
                async with asyncio.timeout(config.load_timeout_s):
                    return await self._load(key, load, config, lambda: mine)

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
        started = self._clock()
        given = await load()
        found = given if isinstance(given, Aged) else Aged(given, 0.0)
        started -= found.age_s
        lifetime = config.ttl_s * (1 - config.jitter * self._rng.random())
        replaced = owner is not None and self._loads.get(key) is not owner()
        held = self._entries.pop(key, None)
        if replaced and held is not None and held.loaded_at > started:
            self._entries[key] = held
            return found
        self._entries[key] = _Entry(
            found.value,
            started,
            # What was expired while it was being loaded may be the old value.
            started if replaced else started + lifetime,
            started + config.ttl_s + config.stale_s,
        )
        while len(self._entries) > config.max_entries:
            del self._entries[next(iter(self._entries))]
        return found

    def _finished(self, key: K, task: "asyncio.Task[Aged[V]]") -> None:
        if self._loads.get(key) is task:
            del self._loads[key]
        # Nobody may be left waiting; asyncio would complain about the error.
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Coalescer {len(self._entries)} copies, {len(self._loads)} loading>"
