"""A bounded pool of sessions per gateway: kept ones, overflow, a bounded wait.

Sizes and waits mean what SQLAlchemy's QueuePool means by them. What is added: whoever
waits can leave without losing a connection, a dead connection is seen before it is
handed out, and the last used one goes first.
"""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from cockroach.errors import (
    ConnectRefusedError,
    DatabaseUnavailableError,
    PoolExhaustedError,
)
from cockroach.sessions import Session
from cockroach.topology import Gateway

# A session lives this long, give or take a tenth, so that a rolling restart of the
# database does not find every client bound to the nodes that stayed.
_LIFETIME_S = 900.0
_DRAIN_S = 2.0
# Connections being opened at once, whoever waits: after an outage everybody does, and
# a server that has just come back has better things to do than to fork.
_MOST_OPENING = 4
_RETRY_AFTER_S = 1.0
# Upper bounds of the buckets that waits for a connection are counted in, in seconds.
WAIT_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """One pool at one moment; from `opened` on they are totals since it was made.

    `waits` has the number of waits up to each of WAIT_BUCKETS and one more for those
    above, `waited_s` their sum. A caller that found an idle connection did not wait.
    """

    gateway: str
    region: str
    limit: int
    idle: int
    busy: int
    opening: int
    waiting: int
    opened: int
    discarded: int
    exhausted: int
    waits: tuple[int, ...]
    waited_s: float


class GatewayPool:
    """The sessions of one gateway in one process.

    `idle_s`: a session that nobody used for so long is closed, 0 for never. `renew`:
    one that was closed for its age is replaced at once, not when it is missed.
    """

    def __init__(
        self,
        gateway: Gateway,
        connect: Callable[..., Awaitable[Session]],
        *,
        size: int,
        overflow: int,
        timeout_s: float,
        idle_s: float = 0.0,
        renew: bool = False,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.gateway = gateway
        self.size = size
        self.limit = size + overflow
        self.timeout_s = timeout_s
        self.idle_s = idle_s
        self._renew = renew
        self._waits = [0] * (len(WAIT_BUCKETS) + 1)
        self._waited_s = 0.0
        self._connect = connect
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads expiry only
        self._idle: list[Session] = []
        self._waiters: deque[asyncio.Future[Session]] = deque()
        self._busy = 0
        # When each connection that is being opened was begun.
        self._opening: list[float] = []
        self._opened = self._discarded = self._exhausted = 0
        self._retired = self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return (
            f"<GatewayPool {self.gateway.name} {len(self._idle)} idle, "
            f"{self._busy} busy, {len(self._waiters)} waiting, limit {self.limit}>"
        )

    @property
    def busy(self) -> int:
        """Sessions in use and callers waiting for one: the load on this gateway."""
        return self._busy + len(self._waiters)

    @property
    def empty(self) -> bool:
        """Tell whether nothing is open, being opened, or being closed."""
        return not (self._total() or self._waiters or self._tasks)

    def stats(self) -> PoolStats:
        """Count everything, now."""
        return PoolStats(
            gateway=self.gateway.name,
            region=self.gateway.region,
            limit=self.limit,
            idle=len(self._idle),
            busy=self._busy,
            opening=len(self._opening),
            waiting=len(self._waiters),
            opened=self._opened,
            discarded=self._discarded,
            exhausted=self._exhausted,
            waits=tuple(self._waits),
            waited_s=self._waited_s,
        )

    def take_idle(self) -> Session | None:
        """Take the session used last, if one is idle and alive; never waits."""
        while self._idle:
            session = self._idle.pop()
            if session.usable:
                self._busy += 1
                return session
            self._throw_away(session)
        return None

    async def acquire(self, timeout_s: float | None = None) -> Session:
        """Take a session, waiting for `timeout_s` or else the pool's own bound.

        Raises PoolExhaustedError when none came free, DatabaseUnavailableError when
        the gateway did not let us in.
        """
        session = self.take_idle()
        if session is not None:
            return session
        if self._closed:
            raise DatabaseUnavailableError(self.gateway.region, "closed")
        bound = self.timeout_s if timeout_s is None else min(timeout_s, self.timeout_s)
        loop = asyncio.get_running_loop()
        began = self._clock()
        waiter: asyncio.Future[Session] = loop.create_future()
        self._waiters.append(waiter)
        self._open_for_waiters()
        # What was begun for this caller was begun before now.
        timer = loop.call_later(bound, self._expire, waiter, self._clock(), bound)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.release(waiter.result())
            raise
        finally:
            timer.cancel()
            self._count_wait(self._clock() - began)
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def release(self, session: Session) -> None:
        """Give a session back; one that is broken or too old is replaced."""
        now = self._clock()
        if session.expires_at <= now or not session.usable:
            aged = session.usable
            self.discard(session)
            if aged:
                self._replace()
            return
        self._busy -= 1
        session.idle_since = now
        self._hand_over(session)
        if self._idle and self._outlived(self._idle[0], now):
            # The one at the bottom: in use they are taken and put back at the top.
            self._throw_away(self._idle.pop(0))
            self._replace()

    def discard(self, session: Session) -> None:
        """Give a session back that must not be used again."""
        self._busy -= 1
        self._throw_away(session)
        self._open_for_waiters()

    def drain(self, session: Session, then: Callable[[], Awaitable[None]]) -> None:
        """Take back a session in the middle of a statement that its caller left.

        The answer comes in behind the caller's back, `then` leaves the session clean
        (a ROLLBACK), and it is given back; after two seconds it is thrown away.
        """

        async def settle() -> None:
            try:
                async with asyncio.timeout(_DRAIN_S):
                    await session.driver.drain()
                    await then()
            except Exception:  # noqa: BLE001 - a session that resists is dropped
                self.discard(session)
            else:
                self.release(session)

        self._spawn(settle())

    def refuse_waiting(self, error: Exception) -> None:
        """Let nobody wait any longer: what they wait for will not be asked."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self._waiters.clear()

    async def fill(
        self,
        *,
        at_most: int | None = None,
        concurrency: int = 1,
        pause: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Open the kept sessions that are missing, few at a time.

        `at_most` stops short of the pool's size; `pause` is awaited before each one.

        Raises DatabaseUnavailableError when the gateway refuses one.
        """
        wanted = self.size if at_most is None else min(self.size, at_most)

        async def opener() -> None:
            while not self._retired and self._total() < wanted:
                if pause is not None:
                    await pause()
                    if self._retired or self._total() >= wanted:
                        return
                try:
                    await self._open(self._begin())
                except BaseException:
                    # Whoever came meanwhile counted on this one.
                    self._open_for_waiters()
                    raise

        results = await asyncio.gather(
            *(opener() for _ in range(concurrency)), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def retire(self) -> None:
        """Keep nothing from now on: close what is idle, and the rest when it is free.

        Those who wait are still served, so that a new policy fails nobody.
        """
        self._retired = True
        while self._idle:
            self._throw_away(self._idle.pop())

    async def close(self) -> None:
        """Retire, refuse those who wait, and see everything idle closed."""
        self.retire()
        self._closed = True
        self.refuse_waiting(DatabaseUnavailableError(self.gateway.region, "closed"))
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _total(self) -> int:
        return len(self._idle) + self._busy + len(self._opening)

    def _outlived(self, session: Session, now: float) -> bool:
        unused = now - session.idle_since
        return session.expires_at <= now or 0 < self.idle_s <= unused

    def _replace(self) -> None:
        if self._renew and not self._retired and self._total() < self.size:
            self._spawn(self._open_one(self._begin()))

    def _begin(self) -> float:
        self._opening.append(self._clock())
        return self._opening[-1]

    def _count_wait(self, waited_s: float) -> None:
        self._waits[bisect_left(WAIT_BUCKETS, waited_s)] += 1
        self._waited_s += waited_s

    def _hand_over(self, session: Session) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._busy += 1
                waiter.set_result(session)
                return
        if len(self._idle) < self.size and not self._retired:
            self._idle.append(session)
        else:
            self._throw_away(session)

    def _open_for_waiters(self) -> None:
        while (
            not self._closed
            and len(self._opening) < min(len(self._waiters), _MOST_OPENING)
            and self._total() < self.limit
        ):
            self._spawn(self._open_one(self._begin()))

    async def _open_one(self, began: float) -> None:
        try:
            await self._open(began)
        except DatabaseUnavailableError as error:
            while self._waiters:
                waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_exception(error)
                    break
            self._open_for_waiters()

    async def _open(self, began: float) -> None:
        life = _LIFETIME_S * self._rng.uniform(0.9, 1.1)
        try:
            session = await self._connect(self.gateway, expires_at=self._clock() + life)
        finally:
            self._opening.remove(began)
        self._opened += 1
        session.idle_since = self._clock()
        self._hand_over(session)
        self._open_for_waiters()

    def _expire(
        self, waiter: asyncio.Future[Session], since: float, waited_s: float
    ) -> None:
        if waiter.done():
            return
        # A session that is only now being replaced is not what was waited for.
        late = self._opening and (not self._busy or min(self._opening) <= since)
        if self._busy < self.limit and late:
            error: Exception = ConnectRefusedError(
                self.gateway.region, "connect_timeout"
            )
        else:
            self._exhausted += 1
            error = PoolExhaustedError(
                self.gateway.name,
                waited_s=waited_s,
                limit=self.limit,
                # Spread, or everybody who was refused now comes back together.
                retry_after_s=_RETRY_AFTER_S * self._rng.uniform(0.5, 1.5),
            )
        waiter.set_exception(error)

    def _throw_away(self, session: Session) -> None:
        self._discarded += 1
        self._spawn(session.close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
