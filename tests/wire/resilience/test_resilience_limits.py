"""Limits, swaps of policy and recovery over the wire, grpc.aio."""

import asyncio

import grpc
import pytest
from grpc import aio

import resilience
from resilience import (
    BreakerConfig,
    ClientPolicy,
    RetryConfig,
    ServerPolicy,
)
from resilience.testing import RecordingListener, Script

pytestmark = pytest.mark.resilience

QUICK = RetryConfig(attempts=4, backoff_s=0.001, backoff_max_s=0.001)


async def test_the_server_refuses_beyond_its_limit(hops):
    """max_concurrent calls run; the next is refused, told as the server's limit."""
    gate = asyncio.Event()
    started = asyncio.Event()

    async def wait(_request, _context):
        started.set()
        await gate.wait()
        return b"answer"

    address = await hops.serve(wait, ServerPolicy(max_concurrent=1))
    stub = await hops.dial(address, resilience.bare("leaf"))
    first = asyncio.ensure_future(stub(b""))
    await asyncio.wait_for(started.wait(), 5)
    with pytest.raises(aio.AioRpcError) as raised:
        await stub(b"")
    gate.set()
    assert b"answer" == await first
    assert b"answer" == await stub(b"")

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is raised.value.code()
    assert ("x-seawall-refusal", "limit") in list(raised.value.trailing_metadata())


async def test_exempt_methods_pass_a_full_server(hops):
    """What is exempt is served beyond the limit, and takes no place from others."""
    gate = asyncio.Event()

    async def wait(_request, _context):
        await gate.wait()
        return b"answer"

    policy = ServerPolicy(max_concurrent=1, exempt=frozenset({"/h.Hop/Go"}))
    stub = await hops.dial(await hops.serve(wait, policy), resilience.bare("leaf"))
    calls = [asyncio.ensure_future(stub(b"")) for _ in range(5)]
    gate.set()
    assert [b"answer"] * 5 == await asyncio.gather(*calls)


async def test_blocking_handlers_in_an_aio_server_have_the_deadline_too(hops):
    """A plain function, run in a thread by grpc.aio, may abort and has a deadline."""
    seen = []

    def blocking(request, context):
        seen.append(resilience.current_deadline())
        if request == b"abort":
            context.abort(grpc.StatusCode.NOT_FOUND, "as asked")
        return b"answer"

    stub = await hops.dial(await hops.serve(blocking), resilience.bare("x"))
    assert b"answer" == await stub(b"", timeout=5)
    assert b"answer" == await stub(b"")
    with pytest.raises(aio.AioRpcError) as raised:
        await stub(b"abort")

    assert grpc.StatusCode.NOT_FOUND is raised.value.code()
    assert 0 < seen[0].remaining() < 5.05
    assert [None, None] == seen[1:]


async def test_a_full_bulkhead_refuses_and_leaks_nothing(hops):
    """Calls beyond the bulkhead's limit are refused here; places come back."""
    gate = asyncio.Event()

    async def wait(_request, _context):
        await gate.wait()
        return b"answer"

    policy = ClientPolicy(
        target="leaf",
        breaker=BreakerConfig(),
        bulkhead=resilience.BulkheadConfig(limit=2),
    )
    stub = await hops.dial(await hops.serve(wait), policy)
    calls = [asyncio.ensure_future(stub(b"")) for _ in range(5)]
    done, _ = await asyncio.wait(calls, timeout=5, return_when="FIRST_EXCEPTION")
    while len(done) < 3:
        done = {call for call in calls if call.done()}
        await asyncio.sleep(0.01)
    gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)

    refused = [r for r in results if isinstance(r, resilience.BulkheadFullError)]
    assert (3, 2) == (len(refused), results.count(b"answer"))
    assert {grpc.StatusCode.RESOURCE_EXHAUSTED} == {error.code() for error in refused}
    assert 0 == stub.chain.slot(b"/h.Hop/Go").bulkhead.in_flight


async def test_a_policy_swap_keeps_the_state(hops):
    """A new policy takes effect at the next call; an unchanged breaker stays open."""
    breaker = BreakerConfig(min_calls=2, window_size=2, open_s=30)
    now = [ClientPolicy(target="leaf", breaker=breaker)]
    script = Script(["UNAVAILABLE"])
    stub = await hops.dial(await hops.leaf(script), lambda: now[0])
    await hops.roots(stub, 3)
    assert 2 == script.total
    now[0] = ClientPolicy(target="leaf", breaker=breaker, timeout_s=1)
    await hops.roots(stub, 1)
    assert 2 == script.total
    now[0] = ClientPolicy(target="leaf")
    await hops.roots(stub, 1)
    assert 3 == script.total


async def test_an_open_breaker_recovers_by_itself_over_the_wire(hops):
    """Open, then trials by real calls, then closed."""
    listener = RecordingListener()
    breaker = BreakerConfig(min_calls=2, window_size=2, open_s=0.1, half_open_permits=2)
    script = Script(["UNAVAILABLE", "UNAVAILABLE", b"answer"])
    stub = await hops.dial(
        await hops.leaf(script),
        ClientPolicy(target="leaf", breaker=breaker),
        listener=listener,
    )
    await hops.roots(stub, 3)
    assert 2 == script.total
    answers = 0
    for _ in range(500):
        try:
            answers += await stub(b"") == b"answer"
        except resilience.CircuitOpenError:
            await asyncio.sleep(0.01)
        if answers == 3:
            break

    assert [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ] == listener.transitions()
