"""The coalescer for threads: identical reads share one load, made in its own thread."""

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
    """A load that several threads wait for, until *ends_at* on the owner's clock."""

    __slots__ = ("done", "ends_at", "error", "found")

    def __init__(self, ends_at: float | None) -> None:
        self.done = threading.Event()
        self.ends_at = ends_at
        self.found: Aged[V] | None = None
        self.error: BaseException | None = None


class BlockingCoalescer(Generic[K, V]):
    """Answers reads by key, for threads; see CacheConfig and Coalescer.

    The load runs in a thread of its own, so that a reader who gives up leaves it to
    the others. A thread cannot be stopped: after *load_timeout_s* its load counts as
    failed and the next reader begins another, but it runs on, so that a load should
    have a timeout of its own too.
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
        config: CacheConfig | None = None,
    ) -> Cached[V]:
        """Return the answer for *key*, by *load* where no copy will do.

        Raises what *load* raised, and TimeoutError when it took longer than it may
        or than this reader can wait.
        """
        config = config or self._current()
        with self._lock:
            now = self._clock()
            running = self._running(key, config, now)
            verdict, copy = self._copies.look(key, config, now)
            mine, begins = running, False
            if running is None and verdict not in {"fresh", "failing"}:
                mine, begins = self._enlist(key, config, now), True
        if begins and mine is not None:
            self._begin(key, load, mine, config)
        if copy is not None and verdict in {"fresh", "early"}:
            return self._served(key, copy, now, "hit")
        if copy is not None and (verdict == "failing" or config.stale_while_revalidate):
            # A quick load spares the reader the old copy; a slow one not the wait.
            if mine is not None and verdict != "failing" and config.stale_wait_s:
                self._wait(mine, config.stale_wait_s, timeout_s)
                if mine.found is not None:
                    return self._loaded(key, mine.found, joined=not begins)
            return self._served(key, copy, self._clock(), "stale")
        assert mine is not None
        try:
            found = self._outcome(key, mine, timeout_s, config)
        except Exception:
            if copy is not None and mine.error is not None:
                return self._served(key, copy, self._clock(), "stale")
            raise
        return self._loaded(key, found, joined=not begins)

    def refresh(
        self,
        key: K,
        load: Callable[[], V | Aged[V]],
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Replace the copy of *key* now, however fresh; see Coalescer.refresh."""
        config = self._current()
        with self._lock:
            now = self._clock()
            running = self._running(key, config, now)
            mine = running or self._enlist(key, config, now)
        if running is None:
            self._begin(key, load, mine, config)
        self._outcome(key, mine, timeout_s, config)

    def expire(self, key: K) -> None:
        """Make the copy of *key* stale now, and let nobody join a load begun before."""
        with self._lock:
            self._loads.pop(key, None)
            self._copies.expire(key)

    def expire_all(self) -> None:
        """Make every copy stale now."""
        with self._lock:
            self._loads.clear()
            self._copies.expire()

    def clear(self) -> None:
        """Forget every copy."""
        with self._lock:
            self._loads.clear()
            self._copies.clear()

    def _current(self) -> CacheConfig:
        return self._config() if callable(self._config) else self._config

    def _running(self, key: K, config: CacheConfig, now: float) -> _Load[V] | None:
        """Return the load to join; one whose time is up has failed."""
        running = self._loads.get(key)
        if running is None or running.ends_at is None or now < running.ends_at:
            return running
        self._give_up(key, running, config)
        return None

    def _give_up(self, key: K, mine: _Load[V], config: CacheConfig) -> None:
        if mine.error is None:
            mine.error = TimeoutError("a shared load took longer than it may")
        if self._loads.get(key) is mine:
            del self._loads[key]
            if isinstance(mine.error, Exception):
                self._copies.failed(key, mine.error, config)

    def _enlist(self, key: K, config: CacheConfig, now: float) -> _Load[V]:
        limit = config.load_timeout_s
        mine: _Load[V] = _Load(None if limit is None else now + limit)
        if config.single_flight:
            self._loads[key] = mine
        return mine

    def _begin(
        self,
        key: K,
        load: Callable[[], V | Aged[V]],
        mine: _Load[V],
        config: CacheConfig,
    ) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run,
            args=(self._run, key, load, mine, config),
            name="coalesced-load",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            # No thread to be had: those who joined already must hear of it.
            self._failed(key, mine, error, config)

    def _run(
        self,
        key: K,
        load: Callable[[], V | Aged[V]],
        mine: _Load[V],
        config: CacheConfig,
    ) -> None:
        started = self._clock()
        try:
            with deadline_scope(None):
                given = load()
        except BaseException as error:  # noqa: BLE001  # told to whoever waits
            self._failed(key, mine, error, config)
            return
        found = given if isinstance(given, Aged) else Aged(given, 0.0)
        with self._lock:
            replaced = config.single_flight and self._loads.get(key) is not mine
            self._copies.keep(key, found, started, config, replaced=replaced)
            if self._loads.get(key) is mine:
                del self._loads[key]
        mine.found = found
        mine.done.set()

    def _failed(
        self, key: K, mine: _Load[V], error: BaseException, config: CacheConfig
    ) -> None:
        with self._lock:
            mine.error = error
            if config.single_flight:
                self._give_up(key, mine, config)
            elif isinstance(error, Exception):
                self._copies.failed(key, error, config)
        mine.done.set()

    def _wait(self, mine: _Load[V], *bounds_s: float | None) -> bool:
        left = None if mine.ends_at is None else mine.ends_at - self._clock()
        known = [bound for bound in (*bounds_s, left) if bound is not None]
        return mine.done.wait(max(0.0, min(known)) if known else None)

    def _outcome(
        self, key: K, mine: _Load[V], timeout_s: float | None, config: CacheConfig
    ) -> Aged[V]:
        if not self._wait(mine, timeout_s):
            with self._lock:
                # A wait may end a hair before the clock says so.
                now = self._clock() + 0.001
                late = mine.ends_at is not None and now >= mine.ends_at
                if late and not mine.done.is_set():
                    self._give_up(key, mine, config)
        if mine.found is not None:
            return mine.found
        if mine.error is not None:
            raise mine.error
        raise TimeoutError("a shared load took longer than its reader can wait")

    def _loaded(self, key: K, found: Aged[V], *, joined: bool) -> Cached[V]:
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
