"""What a gateway's pool promises, with sessions that are only pretended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cockroach.errors import (
    ConnectRefusedError,
    DatabaseUnavailableError,
    PoolExhaustedError,
)
from cockroach.pools import GatewayPool
from cockroach.topology import Gateway

GATEWAY = Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=1)


class FakeDriver:
    """Answers a drain at once, or never."""

    def __init__(self) -> None:
        self.stuck = False
        self.drained = 0

    async def drain(self) -> None:
        if self.stuck:
            raise RuntimeError("stuck")
        self.drained += 1


class FakeSession:
    """A session that is usable until told otherwise."""

    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at
        self.usable = True
        self.closed = False
        self.driver = FakeDriver()

    async def close(self) -> None:
        self.closed = True


class Server:
    """Opens sessions, now, later, or not at all."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuses = False
        self.opening = self.peak = 0

    async def connect(self, gateway: Gateway, *, expires_at: float) -> Any:
        self.opening += 1
        self.peak = max(self.peak, self.opening)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            self.opening -= 1
        if self.refuses:
            raise ConnectRefusedError(gateway.region, "connect_failed")
        self.sessions.append(FakeSession(expires_at))
        return self.sessions[-1]


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
def pool(server: Server) -> Callable[..., GatewayPool]:
    def make(**values: Any) -> GatewayPool:
        options: dict[str, Any] = {"size": 2, "overflow": 1, "timeout_s": 0.05}
        return GatewayPool(GATEWAY, server.connect, **(options | values))

    return make


async def test_the_last_used_session_goes_first(pool, server) -> None:
    """A session given back is the next one handed out, none is opened."""
    one = pool()
    first = await one.acquire()
    one.release(first)

    assert first is await one.acquire()
    assert len(server.sessions) == 1


async def test_at_most_size_and_overflow(pool, server) -> None:
    """The limit is size plus overflow; the next caller waits, then is told."""
    one = pool()
    taken = [await one.acquire() for _ in range(3)]
    with pytest.raises(PoolExhaustedError) as told:
        await one.acquire()

    assert (told.value.gateway, told.value.limit) == ("eu-a", 3)
    assert (len(server.sessions), one.stats().exhausted) == (3, 1)
    for session in taken:
        one.release(session)


async def test_overflow_is_closed_when_it_comes_back(pool) -> None:
    """Only `size` sessions are kept idle."""
    one = pool()
    taken = [await one.acquire() for _ in range(3)]
    for session in taken:
        one.release(session)
    await one.close()

    assert [session.closed for session in taken] == [True] * 3


async def test_waiters_are_served_in_order(pool) -> None:
    """Who waits longest gets the session that comes back first."""
    one = pool(size=1, overflow=0, timeout_s=5)
    session = await one.acquire()
    order: list[int] = []

    async def caller(n: int) -> None:
        mine = await one.acquire()
        order.append(n)
        one.release(mine)

    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(caller(n))
        await asyncio.sleep(0)
        one.release(session)

    assert order == [0, 1, 2, 3, 4]


async def test_a_caller_that_leaves_while_waiting_loses_nothing(pool) -> None:
    """A session handed to a caller who was cancelled meanwhile goes back."""
    one = pool(size=1, overflow=0, timeout_s=5)
    session = await one.acquire()
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)
    one.release(session)  # the waiter has it now, but has not run yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert (one.stats().idle, one.stats().busy) == (1, 0)


async def test_an_opening_outlives_its_caller(pool, server) -> None:
    """The connection that a departed caller asked for serves the next one."""
    server.gate.clear()
    one = pool(timeout_s=5)
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    server.gate.set()
    session = await one.acquire()

    assert server.sessions[0] is session


async def test_dead_sessions_are_never_handed_out(pool, server) -> None:
    """A session whose server went away is replaced, not given to a caller."""
    one = pool()
    session = await one.acquire()
    one.release(session)
    session.usable = False

    assert session is not await one.acquire()
    assert one.stats().discarded == 1


async def test_a_refused_connection_reaches_the_caller(pool, server) -> None:
    """Nobody waits for a connection that will not come."""
    server.refuses = True
    with pytest.raises(ConnectRefusedError):
        await pool(timeout_s=5).acquire()


async def test_slow_connecting_is_not_called_exhaustion(pool, server) -> None:
    """When the time ran out on opening, the gateway is to blame, not the pool."""
    server.gate.clear()
    one = pool()
    with pytest.raises(ConnectRefusedError) as told:
        await one.acquire()
    server.gate.set()
    await one.close()

    assert told.value.reason == "connect_timeout"


async def test_a_session_that_is_being_replaced_is_no_refused_connection(
    pool, server
) -> None:
    """Those who wait for busy sessions are told so, though one is being opened."""
    one = pool(timeout_s=0.2)
    held = [await one.acquire() for _ in range(one.limit)]
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(0.05)
    server.gate.clear()
    one.discard(held.pop())
    with pytest.raises(PoolExhaustedError):
        await waiting
    assert (1, 1) == (one.stats().opening, one.stats().exhausted)
    server.gate.set()
    for session in held:
        one.release(session)
    await one.close()


async def test_who_counts_on_a_warming_that_fails_is_told_so(pool, server) -> None:
    """Another connection is tried for the caller, who learns what became of it."""
    one = pool(timeout_s=10.0)
    server.gate.clear()
    server.refuses = True
    filling = asyncio.create_task(one.fill())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)
    assert 1 == one.stats().opening
    server.gate.set()
    with pytest.raises(ConnectRefusedError):
        await filling
    async with asyncio.timeout(2.0):
        with pytest.raises(ConnectRefusedError):
            await waiting
    await one.close()


async def test_old_sessions_are_replaced(pool, server) -> None:
    """A session past its lifetime is closed when it comes back."""
    now = [0.0]
    one = pool(clock=lambda: now[0])
    session = await one.acquire()
    now[0] = 901 * 1.1
    one.release(session)
    await one.close()

    assert session.closed
    assert 0.9 * 900 <= session.expires_at <= 1.1 * 900


async def test_warming_opens_one_at_a_time(pool, server) -> None:
    """Filling a pool never opens more than the asked number at once."""
    one = pool(size=5)
    await one.fill(concurrency=1)

    assert (one.stats().idle, server.peak) == (5, 1)


async def test_an_abandoned_session_comes_back_clean(pool) -> None:
    """Its answer is read, the clean-up runs, and then it is used again."""
    one = pool(size=1, overflow=0, timeout_s=5)
    session = await one.acquire()
    cleaned: list[bool] = []

    async def clean() -> None:
        cleaned.append(True)

    one.drain(session, clean)
    again = await one.acquire()

    assert (session, 1, [True]) == (again, session.driver.drained, cleaned)


async def test_an_abandoned_session_that_resists_is_dropped(pool, server) -> None:
    """A session that cannot be drained is closed and another takes its place."""
    one = pool(size=1, overflow=0, timeout_s=5)
    session = await one.acquire()
    session.driver.stuck = True

    async def clean() -> None:
        raise AssertionError("not reached")

    one.drain(session, clean)

    assert session is not await one.acquire()
    assert session.closed


async def test_retiring_serves_those_who_wait(pool) -> None:
    """A change of policy fails nobody, and leaves nothing open."""
    one = pool(size=1, overflow=0, timeout_s=5)
    session = await one.acquire()
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)
    one.retire()
    one.release(session)
    served = await waiting
    one.release(served)
    await one.close()

    assert session is served
    assert session.closed
    assert one.empty


async def test_closing_refuses_those_who_wait(pool) -> None:
    """After close, waiting callers and new ones are told at once."""
    one = pool(size=1, overflow=0, timeout_s=5)
    session = await one.acquire()
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)
    await one.close()
    for late in (waiting, one.acquire()):
        with pytest.raises(DatabaseUnavailableError) as told:
            await late
        assert told.value.reason == "closed"
    one.release(session)


async def test_an_opening_breaker_sends_waiting_callers_away(pool) -> None:
    """Who waits for a connection to a region found ill does not go on waiting."""
    one = pool(size=1, overflow=0, timeout_s=5)
    session = await one.acquire()
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)
    one.refuse_waiting(DatabaseUnavailableError("eu", "breaker_open"))
    with pytest.raises(DatabaseUnavailableError):
        await waiting
    one.release(session)

    assert repr(one) == "<GatewayPool eu-a 1 idle, 0 busy, 0 waiting, limit 1>"


async def test_a_session_nobody_needs_is_closed(pool, until) -> None:
    """The one at the bottom, unused for the idle time, goes; the one in use stays."""
    now = [0.0]
    one = pool(clock=lambda: now[0], idle_s=60)
    bottom, top = [await one.acquire() for _ in range(2)]
    one.release(bottom)
    one.release(top)
    for minute in (0.5, 1.1):
        now[0] = 60 * minute
        one.release(await one.acquire())
    await until(lambda: bottom.closed)

    assert (1, 1, False) == (one.stats().idle, one.stats().discarded, top.closed)


async def test_an_aged_session_is_replaced_before_it_is_missed(
    pool, server, until
) -> None:
    """Where connections are kept warm nobody waits for the opening of the next."""
    now = [0.0]
    one = pool(clock=lambda: now[0], renew=True)
    session = await one.acquire()
    now[0] = 901 * 1.1
    one.release(session)
    await until(lambda: one.stats().idle == 1)

    assert (2, 0) == (len(server.sessions), one.stats().waiting)


async def test_a_dead_session_is_not_replaced_at_once(pool, server) -> None:
    """Its server went away: the next to ask will see, not the pool in a loop."""
    one = pool(renew=True)
    session = await one.acquire()
    session.usable = False
    one.release(session)
    await one.close()

    assert 1 == len(server.sessions)


async def test_few_connections_are_opened_at_once(pool, server) -> None:
    """However many wait after an outage, a server is asked for four at a time."""
    server.gate.clear()
    one = pool(size=20, overflow=0, timeout_s=5)
    waiting = [asyncio.create_task(one.acquire()) for _ in range(20)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert 4 == server.opening
    server.gate.set()
    await asyncio.gather(*waiting)

    assert (20, 4) == (len(server.sessions), server.peak)


async def test_waits_are_counted_by_their_length(pool) -> None:
    """Finding one idle is no wait; waiting for one is, also in vain."""
    now = [0.0]
    one = pool(size=1, overflow=0, timeout_s=0.01, clock=lambda: now[0])
    session = await one.acquire()
    one.release(session)
    session = await one.acquire()
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)
    now[0] = 0.02
    with pytest.raises(PoolExhaustedError) as told:
        await waiting
    stats = one.stats()

    assert (2, pytest.approx(0.02)) == (sum(stats.waits), stats.waited_s)
    assert (1, 1) == (stats.waits[0], stats.waits[2])
    assert 0.5 <= told.value.retry_after_s <= 1.5


async def test_filling_can_take_its_time(pool, server) -> None:
    """Each opening has a pause of its own before it, and none is opened in vain."""
    pauses: list[int] = []

    async def pause() -> None:
        pauses.append(len(server.sessions))

    one = pool(size=3)
    await one.fill(pause=pause)

    assert ([0, 1, 2], 3) == (pauses, one.stats().idle)
