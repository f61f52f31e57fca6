"""A bound on calls in flight, with a bounded wait in a fair queue."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from resilience._checks import refuse_nan
from resilience._errors import BulkheadFullError


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadConfig:
    """At most *limit* calls at once; the next ones wait up to *max_wait_s* seconds.

    As resilience4j's semaphore bulkhead, whose defaults these are.
    """

    limit: int = 25
    max_wait_s: float = 0.0

    def __post_init__(self) -> None:
        refuse_nan(self)
        if self.limit < 1:
            raise ValueError("limit must be at least 1")
        if self.max_wait_s < 0:
            raise ValueError("max_wait_s must not be negative")


class _Ticket:
    """A place in the queue; *wake* is called once when the place is granted.

    It returns False where nobody is left to take it.
    """

    __slots__ = ("gone", "granted", "wake")

    def __init__(self, wake: Callable[[], bool]) -> None:
        self.wake = wake
        self.granted = False
        self.gone = False


class Bulkhead:
    """Places for calls in flight. Safe between threads, first come first served."""

    __slots__ = ("_config", "_lock", "_queue", "in_flight", "name")

    def __init__(self, name: str, config: BulkheadConfig) -> None:
        self.name = name
        self.in_flight = 0
        self._config = config
        self._lock = threading.Lock()
        self._queue: deque[_Ticket] = deque()

    @property
    def config(self) -> BulkheadConfig:
        """The configuration in force."""
        return self._config

    @property
    def waiting(self) -> int:
        """How many are waiting for a place."""
        return len(self._queue)

    def reconfigure(self, config: BulkheadConfig) -> None:
        """Take *config* over; calls in flight beyond a lower limit run on."""
        with self._lock:
            self._config = config
            woken = self._grant()
        self._wake(woken)

    def try_enter(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        with self._lock:
            if self.in_flight < self._config.limit and not self._queue:
                self.in_flight += 1
                return True
            return False

    def leave(self) -> None:
        """Give a place back, to the one who waits longest if there is one."""
        with self._lock:
            self.in_flight -= 1
            woken = self._grant() if self._queue else None
        if woken:
            self._wake(woken)

    async def enter(self, max_wait_s: float | None = None) -> None:
        """Take a place, waiting on the event loop.

        *max_wait_s* can only shorten the configured wait.
        Raises BulkheadFullError when none came free in time.
        """
        if self.try_enter():
            return
        wait = self._wait(max_wait_s)
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        # Another thread may be the one to leave.

        def wake() -> bool:
            try:
                loop.call_soon_threadsafe(woken.set)
            except RuntimeError:
                # The loop was closed under its tasks.
                return False
            return True

        ticket = self._join(wake)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await woken.wait()
        except BaseException:
            if not self._withdraw(ticket):
                self.leave()
            raise
        if self._withdraw(ticket):
            raise BulkheadFullError(self.name, self._config.limit)

    def enter_blocking(self, max_wait_s: float | None = None) -> None:
        """Take a place, blocking the calling thread. Raises BulkheadFullError."""
        if self.try_enter():
            return
        wait = self._wait(max_wait_s)
        woken = threading.Event()

        def wake() -> bool:
            woken.set()
            return True

        ticket = self._join(wake)
        try:
            woken.wait(wait)
        except BaseException:
            if not self._withdraw(ticket):
                self.leave()
            raise
        if self._withdraw(ticket):
            raise BulkheadFullError(self.name, self._config.limit)

    def _wait(self, max_wait_s: float | None) -> float:
        wait = self._config.max_wait_s
        if max_wait_s is not None:
            wait = min(wait, max_wait_s)
        if wait <= 0:
            raise BulkheadFullError(self.name, self._config.limit)
        return wait

    def _join(self, wake: Callable[[], bool]) -> _Ticket:
        ticket = _Ticket(wake)
        with self._lock:
            self._queue.append(ticket)
            # A place may have come free since it was last looked for.
            woken = self._grant()
        self._wake(woken)
        return ticket

    def _withdraw(self, ticket: _Ticket) -> bool:
        """Leave the queue; False when the place had been granted already."""
        with self._lock:
            if ticket.granted:
                return False
            ticket.gone = True
            with contextlib.suppress(ValueError):
                self._queue.remove(ticket)
            return True

    def _wake(self, woken: list[_Ticket]) -> None:
        while woken:
            dead = [ticket for ticket in woken if not ticket.wake()]
            if not dead:
                return
            with self._lock:
                for ticket in dead:
                    ticket.granted = False
                self.in_flight -= len(dead)
                woken = self._grant()

    def _grant(self) -> list[_Ticket]:
        woken = []
        while self._queue and self.in_flight < self._config.limit:
            ticket = self._queue.popleft()
            ticket.granted = True
            self.in_flight += 1
            woken.append(ticket)
        return woken

    def __repr__(self) -> str:
        return (
            f"<Bulkhead {self.name} {self.in_flight}/{self._config.limit} "
            f"in flight, {self.waiting} waiting>"
        )
