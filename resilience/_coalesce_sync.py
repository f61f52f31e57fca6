"""The coalescer for threads: identical reads share one load, made by the first."""

import contextvars
import random
import threading
import time
from collections.abc import Callable
from typing import Generic

from resilience._coalesce import tell
from resilience._copies import Aged, CacheConfig, Cached, Copies, Copy, K, Source, V
from resilience._deadline import deadline_scope
from resilience._events import Listener


class _Load(Generic[V]):
    """A load that several threads wait for."""

    __slots__ = ("done", "error", "found")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.found: Aged[V] | None = None
        self.error: BaseException | None = None


class BlockingCoalescer(Generic[K, V]):
    """Answers reads by key, for threads; see CacheConfig and Coalescer.

    The load runs in a thread of its own, so that a reader who gives up leaves it to
    the others. *load_timeout_s* cannot stop a thread: give the load its own timeout.
    """

    def __init__(
        self,
        config: CacheConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._listener = listener
        self._lock = threading.Lock()
        # What is random here spreads expiry, and is no secret.
        self._copies: Copies[K, V] = Copies(clock, rng or random.Random())  # noqa: S311
        self._loads: dict[K, _Load[V]] = {}

    def get(
        self,
        key: K,
        load: Callable[[], V | Aged[V]],
        *,
        timeout_s: float | None = None,
    ) -> Cached[V]:
        """Return the answer for *key*, by *load* where no copy will do.

        Raises what *load* raised, and TimeoutError when it took longer than this
        reader can wait.
        """
        config = self._config
        with self._lock:
            now = self._clock()
            verdict, copy = self._copies.look(key, config, now)
            running = self._loads.get(key)
            mine = running
            if verdict != "fresh" and running is None:
                mine = self._start(key, load)
        if copy is not None:
            if verdict in {"fresh", "early"}:
                return self._served(key, copy, now, "hit")
            if config.stale_while_revalidate:
                assert mine is not None
                if config.stale_wait_s and mine.done.wait(config.stale_wait_s):
                    found = mine.found
                    if found is not None:
                        return self._loaded(key, found, running is not None)
                return self._served(key, copy, self._clock(), "stale")
        assert mine is not None
        if not mine.done.wait(timeout_s):
            raise TimeoutError("a shared load took longer than its reader can wait")
        if mine.found is None:
            assert mine.error is not None
            if copy is not None:
                return self._served(key, copy, self._clock(), "stale")
            raise mine.error
        return self._loaded(key, mine.found, running is not None)

    def expire(self, key: K) -> None:
        """Make the copy of *key* stale now, and let nobody join a load begun before."""
        with self._lock:
            self._loads.pop(key, None)
            self._copies.expire(key)

    def _start(self, key: K, load: Callable[[], V | Aged[V]]) -> _Load[V]:
        mine: _Load[V] = _Load()
        if self._config.single_flight:
            self._loads[key] = mine
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run,
            args=(self._run, key, load, mine),
            name="coalesced-load",
            daemon=True,
        ).start()
        return mine

    def _run(self, key: K, load: Callable[[], V | Aged[V]], mine: _Load[V]) -> None:
        started = self._clock()
        try:
            with deadline_scope(None):
                given = load()
        except BaseException as error:  # noqa: BLE001  # told to whoever waits
            with self._lock:
                if isinstance(error, Exception):
                    self._copies.failed(key, error, self._config)
                self._forget(key, mine)
            mine.error = error
            mine.done.set()
            return
        found = given if isinstance(given, Aged) else Aged(given, 0.0)
        with self._lock:
            shared = self._config.single_flight
            replaced = shared and self._loads.get(key) is not mine
            self._copies.keep(key, found, started, self._config, replaced=replaced)
            self._forget(key, mine)
        mine.found = found
        mine.done.set()

    def _forget(self, key: K, mine: _Load[V]) -> None:
        if self._loads.get(key) is mine:
            del self._loads[key]

    def _loaded(self, key: K, found: Aged[V], joined: bool) -> Cached[V]:  # noqa: FBT001  # private
        source: Source = "joined" if joined else "fresh"
        if joined:
            tell(self._listener, key, source, found.age_s)
        return Cached(value=found.value, age_s=found.age_s, stale=False, source=source)

    def _served(self, key: K, copy: Copy[V], now: float, source: Source) -> Cached[V]:
        age = now - copy.loaded_at
        stale = source == "stale"
        if stale:
            tell(self._listener, key, source, age)
        return Cached(value=copy.value, age_s=age, stale=stale, source=source)

    def __len__(self) -> int:
        return len(self._copies)

    def __repr__(self) -> str:
        return (
            f"<BlockingCoalescer {len(self._copies)} copies, "
            f"{len(self._loads)} loading>"
        )
