"""How a pool opens its sessions, and what becomes of those who wait for one."""

from __future__ import annotations

import asyncio

import pytest

from cockroach.errors import (
    ConnectRefusedError,
    DatabaseUnavailableError,
    PoolExhaustedError,
)


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


async def test_a_gateway_that_lets_nobody_more_in_is_to_blame(pool, server) -> None:
    """There is room for the caller, and one session in use is no reason to wait."""
    one = pool()
    held = await one.acquire()
    server.gate.clear()
    with pytest.raises(ConnectRefusedError):
        await one.acquire()
    assert 0 == one.stats().exhausted
    server.gate.set()
    one.release(held)
    await one.close()


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


async def test_warming_opens_one_at_a_time(pool, server) -> None:
    """Filling a pool never opens more than the asked number at once."""
    one = pool(size=5)
    await one.fill(concurrency=1)

    assert (one.stats().idle, server.peak) == (5, 1)


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


async def test_filling_can_take_its_time(pool, server) -> None:
    """Each opening has a pause of its own before it, and none is opened in vain."""
    pauses: list[int] = []

    async def pause() -> None:
        pauses.append(len(server.sessions))

    one = pool(size=3)
    await one.fill(pause=pause)

    assert ([0, 1, 2], 3) == (pauses, one.stats().idle)
