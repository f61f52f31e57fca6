"""What a gateway's pool promises, with sessions that are only pretended."""

from __future__ import annotations

import asyncio

import pytest

from cockroach.errors import (
    DatabaseUnavailableError,
    PoolExhaustedError,
)


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


async def test_dead_sessions_are_never_handed_out(pool, server) -> None:
    """A session whose server went away is replaced, not given to a caller."""
    one = pool()
    session = await one.acquire()
    one.release(session)
    session.usable = False

    assert session is not await one.acquire()
    assert one.stats().discarded == 1


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
