"""What hedges neither wait for nor measure, grpc.aio."""

import asyncio

import grpc
import pytest

from resilience import (
    BulkheadConfig,
    ClientPolicy,
    HedgeConfig,
    HedgeRefused,
    HedgeSent,
)
from resilience.testing import RecordingListener

pytestmark = pytest.mark.resilience

# Extra load of 1: every call may be hedged, so that a test needs one call.
NOW = HedgeConfig(delay_s=0.02, extra_load=1.0)


async def test_what_callers_gave_up_is_no_measure_of_the_method(hops):
    """Calls that their callers cancelled at once do not move the hedge's delay."""
    begun, gate = asyncio.Semaphore(0), asyncio.Event()

    async def go(_request, _context):
        begun.release()
        await gate.wait()
        return b"answer"

    hedge = HedgeConfig(percentile=0.9)
    stub = await hops.dial(
        await hops.serve(go), ClientPolicy(target="leaf", hedge=hedge)
    )
    gate.set()
    await stub(b"")
    await asyncio.wait_for(begun.acquire(), 5)
    gate.clear()
    (slot,) = stub.chain._slots.values()
    recorded = []
    slot.latencies.record = recorded.append
    task = asyncio.ensure_future(_await(stub(b"")))
    await asyncio.wait_for(begun.acquire(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [] == recorded


async def test_a_hedge_does_not_wait_for_a_place(hops):
    """A full bulkhead leaves the hedge out, and the first answer is not late."""
    listener = RecordingListener()

    async def go(_request, _context):
        await _until(lambda: listener.of(HedgeRefused))
        return b"answer"

    policy = ClientPolicy(
        target="leaf", hedge=NOW, bulkhead=BulkheadConfig(limit=1, max_wait_s=60)
    )
    stub = await hops.dial(await hops.serve(go), policy, listener=listener)

    assert b"answer" == await asyncio.wait_for(stub(b""), 10)
    assert ["refused"] == [event.reason for event in listener.of(HedgeRefused)]
    assert [] == listener.of(HedgeSent)
    assert {"leaf": 0} == stub.chain.held()


async def test_a_second_try_beside_nothing_waits_for_a_place(hops):
    """After a failure nothing is running that a wait could make late."""
    order = []

    async def go(request, context):
        bulkhead = stub.chain._bulkheads["leaf"]
        order.append(request)
        await _until(lambda: bulkhead.waiting == 1 or len(order) == 3)
        if order == [b"a"]:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")
        return b"answer"

    policy = ClientPolicy(
        target="leaf",
        hedge=HedgeConfig(delay_s=60, extra_load=1.0),
        bulkhead=BulkheadConfig(limit=1, max_wait_s=60),
    )
    stub = await hops.dial(await hops.serve(go), policy)
    calls = [stub(b"a"), stub(b"b")]

    assert [b"answer"] * 2 == await asyncio.wait_for(asyncio.gather(*calls), 10)
    assert [b"a", b"b", b"a"] == order


async def _until(happened):
    for _ in range(1000):
        if happened():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within five seconds")


async def _await(call):
    return await call
