"""A statement's bound ends the wait for it, and nobody else's task."""

from __future__ import annotations

import asyncio

import pytest

from cockroach.lease import _Bound


async def _bounded(seconds: float, wait: asyncio.Future[None]) -> str:
    bound = _Bound(seconds)
    try:
        await wait
    except asyncio.CancelledError:
        if not bound.expired():
            raise
        return "late"
    finally:
        bound.lift()
    return "in time"


async def test_who_waits_too_long_goes_on() -> None:
    """The cancellation is taken back: the task is as if it had never been asked."""
    nothing = asyncio.get_running_loop().create_future()
    task = asyncio.current_task()
    assert task is not None

    assert await _bounded(0.01, nothing) == "late"
    assert task.cancelling() == 0
    assert await _bounded(0.01, asyncio.get_running_loop().create_future()) == "late"


async def test_what_comes_in_time_is_not_bounded_later() -> None:
    """The timer goes with the statement."""
    loop = asyncio.get_running_loop()
    there = loop.create_future()
    loop.call_soon(there.set_result, None)

    assert await _bounded(0.02, there) == "in time"
    await asyncio.sleep(0.05)


async def test_a_caller_who_leaves_at_the_same_time_leaves() -> None:
    """The wish that the task should end is not mistaken for the statement's bound."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(_bounded(0.0, loop.create_future()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # The bound's timer is due by now, and fires before the task runs again.
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
