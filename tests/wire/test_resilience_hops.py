"""What the policies do over several hops: retries, deadlines, origins."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack

import grpc
import pytest
from grpc import aio

import resilience
from resilience import (
    BreakerConfig,
    BudgetConfig,
    ClientPolicy,
    RetryConfig,
    ServerPolicy,
)
from resilience.testing import RecordingListener, RecordingObserver, Script

pytestmark = pytest.mark.resilience

QUICK = RetryConfig(attempts=4, backoff_s=0.001, backoff_max_s=0.001)


async def _serve(stack, behaviour, policy=None):
    interceptors = [resilience.aio_server_interceptor(policy or ServerPolicy())]
    server = aio.server(interceptors=interceptors)
    handler = grpc.unary_unary_rpc_method_handler(behaviour)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("h.Hop", {"Go": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, 0)
    return f"127.0.0.1:{port}"


async def _dial(stack, address, policy, **options):
    interceptors = resilience.aio_client_interceptors(policy, **options)
    channel = aio.insecure_channel(address, interceptors=interceptors)
    await stack.enter_async_context(channel)
    stub = channel.unary_unary("/h.Hop/Go")
    stub.chain = interceptors[0].chain
    return stub


def _relay(stub, calls=None, name=""):
    async def go(request, context):
        if calls is not None:
            calls[name] += 1
        try:
            return await stub(request)
        except aio.AioRpcError as error:
            await context.abort(error.code(), error.details())

    return go


async def _leaf(stack, script, calls=None):
    async def go(_request, context):
        step = script.next()
        if calls is not None:
            calls["leaf"] += 1
        if isinstance(step, tuple):
            code, trailers = step
            await context.abort(grpc.StatusCode[code], "scripted", trailers)
        if isinstance(step, str):
            await context.abort(grpc.StatusCode[step], "scripted")
        return step

    return await _serve(stack, go)


async def _chain(stack, policy, calls):
    """root -> one -> two -> leaf, which is dead; the root's stub."""
    address = await _leaf(stack, Script(["UNAVAILABLE"]), calls)
    for name in ("two", "one"):
        stub = await _dial(stack, address, policy)
        address = await _serve(stack, _relay(stub, calls, name))
    return await _dial(stack, address, policy)


async def _roots(stub, count):
    for _ in range(count):
        with pytest.raises(aio.AioRpcError):
            await stub(b"", timeout=10)


async def test_naive_retries_multiply_over_three_hops():
    """Four attempts at each of three hops are 64 calls of a dead leaf per root."""
    calls = Counter()
    async with AsyncExitStack() as stack:
        policy = ClientPolicy(target="next", retry=QUICK)
        root = await _chain(stack, policy, calls)
        await _roots(root, 3)

    assert {"one": 12, "two": 48, "leaf": 192} == calls


async def test_budgets_keep_retries_from_multiplying():
    """With a token bucket at each hop, 200 roots cost the dead leaf 1.1 calls each."""
    calls = Counter()
    async with AsyncExitStack() as stack:
        policy = ClientPolicy(target="next", retry=QUICK, retry_budget=BudgetConfig())
        root = await _chain(stack, policy, calls)
        await _roots(root, 200)

    assert calls["leaf"] / 200 <= 1.1
    assert calls["leaf"] >= 200


async def test_a_spent_budget_tells_the_hop_above_not_to_retry():
    """A hop whose bucket is spent pushes back, and its caller makes one attempt."""
    calls = Counter()
    async with AsyncExitStack() as stack:
        address = await _leaf(stack, Script(["UNAVAILABLE"]), calls)
        spent = ClientPolicy(
            target="leaf", retry=QUICK, retry_budget=BudgetConfig(max_tokens=1)
        )
        stub = await _dial(stack, address, spent)
        address = await _serve(stack, _relay(stub, calls, "middle"))
        listener = RecordingListener()
        root = await _dial(
            stack,
            address,
            ClientPolicy(target="middle", retry=QUICK),
            listener=listener,
        )
        await _roots(root, 1)

    assert {"middle": 1, "leaf": 1} == calls
    (refused,) = listener.of(resilience.RetryRefused)
    assert "pushback" == refused.reason


@pytest.mark.parametrize(
    ("trailers", "attempts", "least_s"),
    [
        ((), 3, 0),
        ((("grpc-retry-pushback-ms", "-1"),), 1, 0),
        ((("grpc-retry-pushback-ms", "xxx"),), 1, 0),
        ((("grpc-retry-pushback-ms", "100"),), 3, 0.2),
    ],
)
async def test_server_pushback_is_obeyed(trailers, attempts, least_s):
    """gRFC A6: a number delays the retry, anything else forbids it."""
    script = Script([("UNAVAILABLE", trailers)])
    async with AsyncExitStack() as stack:
        address = await _leaf(stack, script)
        policy = ClientPolicy(
            target="leaf",
            retry=RetryConfig(attempts=3, backoff_s=0.001, backoff_max_s=0.001),
        )
        stub = await _dial(stack, address, policy)
        started = time.monotonic()
        await _roots(stub, 1)
        took = time.monotonic() - started

    assert attempts == script.total
    assert took >= least_s


async def test_attempts_are_counted_in_metadata_and_told_to_the_observer():
    """The second attempt says that there was one before, and succeeds."""
    observer, listener = RecordingObserver(), RecordingListener()
    async with AsyncExitStack() as stack:
        address = await _leaf(stack, Script(["UNAVAILABLE", b"answer"]))
        policy = ClientPolicy(target="leaf", retry=QUICK)
        stub = await _dial(stack, address, policy, observer=observer, listener=listener)
        assert b"answer" == await stub(b"", metadata=(("k", "v"),))

    first, second = observer.attempts
    assert [("k", "v")] == first.metadata
    assert [("k", "v"), ("grpc-previous-rpc-attempts", "1")] == second.metadata
    assert ["UNAVAILABLE", "OK"] == [first.outcome.code, second.outcome.code]
    assert [1] == [event.attempt for event in listener.of(resilience.RetryScheduled)]


@pytest.mark.parametrize(("method", "attempts"), [("Go", 4), ("Other", 1)])
async def test_only_idempotent_methods_are_repeated(method, attempts):
    """Where the repeatable methods are listed, the others get one attempt."""
    script = Script(["UNAVAILABLE"])
    async with AsyncExitStack() as stack:
        address = await _leaf(stack, script)
        policy = ClientPolicy(
            target="leaf", retry=QUICK, idempotent=frozenset({method})
        )
        await _roots(await _dial(stack, address, policy), 1)

    assert attempts == script.total


async def test_an_attempt_that_times_out_by_itself_is_made_again():
    """attempt_timeout_s bounds one attempt; the call goes on while it has time."""
    seen = []

    async def slow_once(_request, context):
        seen.append(context.time_remaining())
        if len(seen) == 1:
            await asyncio.sleep(5)
        return b"answer"

    async with AsyncExitStack() as stack:
        address = await _serve(stack, slow_once)
        retry = RetryConfig(attempts=2, backoff_s=0.001, attempt_timeout_s=0.2)
        policy = ClientPolicy(target="leaf", timeout_s=3, retry=retry)
        stub = await _dial(stack, address, policy)
        assert b"answer" == await stub(b"")

    assert 2 == len(seen)
    assert max(seen) <= 0.2


async def test_deadlines_shrink_over_three_hops():
    """Each hop has less time than the one before it, by the reserve at least."""
    left = []

    async def leaf(_request, context):
        left.append(context.time_remaining())
        return b"answer"

    async with AsyncExitStack() as stack:
        address = await _serve(stack, leaf)
        policy = ClientPolicy(target="next", reserve_s=0.05, timeout_s=60)
        for _ in range(2):
            stub = await _dial(stack, address, policy)

            async def go(request, context, stub=stub):
                left.append(context.time_remaining())
                return await stub(request)

            address = await _serve(stack, go)
        root = await _dial(stack, address, policy)
        await root(b"", timeout=2)

    one, two, three = left
    assert 2 >= one >= two + 0.05
    assert two >= three + 0.05


async def test_a_call_without_time_left_is_not_sent():
    """A spent deadline refuses the call here, and counts against nobody."""
    listener = RecordingListener()
    script = Script([b"answer"])
    async with AsyncExitStack() as stack:
        address = await _leaf(stack, script)
        policy = ClientPolicy(target="leaf", reserve_s=1, breaker=BreakerConfig())
        stub = await _dial(stack, address, policy, listener=listener)
        with (
            resilience.deadline_scope(0.5),
            pytest.raises(resilience.DeadlineSpentError) as raised,
        ):
            await stub(b"")

    assert grpc.StatusCode.DEADLINE_EXCEEDED is raised.value.code()
    assert 0 == script.total
    assert 1 == len(listener.of(resilience.DeadlineRefused))
    assert 0 == stub.chain.slot(b"/h.Hop/Go").breaker.metrics().calls


async def test_without_propagation_the_leaf_has_no_deadline():
    """A bare client behind a server hands no deadline on."""
    left = []

    async def leaf(_request, context):
        left.append(context.time_remaining())
        return b""

    async with AsyncExitStack() as stack:
        stub = await _dial(stack, await _serve(stack, leaf), resilience.bare("leaf"))
        root = await _dial(
            stack, await _serve(stack, _relay(stub)), resilience.bare("middle")
        )
        await root(b"", timeout=2)

    assert [None] == left


async def test_a_dead_leaf_opens_only_the_breaker_above_it():
    """A failure passed on names its origin and leaves the upper breaker closed."""
    breaker = BreakerConfig(min_calls=4, window_size=4, open_s=30)
    async with AsyncExitStack() as stack:
        address = await _leaf(stack, Script(["UNAVAILABLE"]))
        middle = await _dial(
            stack, address, ClientPolicy(target="leaf", breaker=breaker)
        )
        address = await _serve(stack, _relay(middle))
        observer = RecordingObserver()
        root = await _dial(
            stack,
            address,
            ClientPolicy(target="middle", breaker=breaker),
            observer=observer,
        )
        await _roots(root, 12)

    assert {"leaf/h.Hop/Go": "open"} == middle.chain.breakers()
    assert {"middle/h.Hop/Go": "closed"} == root.chain.breakers()
    outcomes = [attempt.outcome for attempt in observer.attempts]
    assert {"leaf"} == {outcome.origin for outcome in outcomes}
    assert [None] * 4 + ["breaker_open"] * 8 == [o.refusal for o in outcomes]


async def test_the_server_refuses_beyond_its_limit():
    """max_concurrent calls run; the next is refused, told as the server's limit."""
    gate = asyncio.Event()
    started = asyncio.Event()

    async def wait(_request, _context):
        started.set()
        await gate.wait()
        return b"answer"

    async with AsyncExitStack() as stack:
        address = await _serve(stack, wait, ServerPolicy(max_concurrent=1))
        stub = await _dial(stack, address, resilience.bare("leaf"))
        first = asyncio.ensure_future(stub(b""))
        await asyncio.wait_for(started.wait(), 5)
        with pytest.raises(aio.AioRpcError) as raised:
            await stub(b"")
        gate.set()
        assert b"answer" == await first
        assert b"answer" == await stub(b"")

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is raised.value.code()
    assert ("x-seawall-refusal", "limit") in list(raised.value.trailing_metadata())


async def test_a_full_bulkhead_refuses_and_leaks_nothing():
    """Calls beyond the bulkhead's limit are refused here; places come back."""
    gate = asyncio.Event()

    async def wait(_request, _context):
        await gate.wait()
        return b"answer"

    async with AsyncExitStack() as stack:
        policy = ClientPolicy(
            target="leaf",
            breaker=BreakerConfig(),
            bulkhead=resilience.BulkheadConfig(limit=2),
        )
        stub = await _dial(stack, await _serve(stack, wait), policy)
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


async def test_a_policy_swap_keeps_the_state():
    """A new policy takes effect at the next call; an unchanged breaker stays open."""
    breaker = BreakerConfig(min_calls=2, window_size=2, open_s=30)
    now = [ClientPolicy(target="leaf", breaker=breaker)]
    script = Script(["UNAVAILABLE"])
    async with AsyncExitStack() as stack:
        stub = await _dial(stack, await _leaf(stack, script), lambda: now[0])
        await _roots(stub, 3)
        assert 2 == script.total
        now[0] = ClientPolicy(target="leaf", breaker=breaker, timeout_s=1)
        await _roots(stub, 1)
        assert 2 == script.total
        now[0] = ClientPolicy(target="leaf")
        await _roots(stub, 1)
        assert 3 == script.total


async def test_an_open_breaker_recovers_by_itself_over_the_wire():
    """Open, then trials by real calls, then closed."""
    listener = RecordingListener()
    breaker = BreakerConfig(min_calls=2, window_size=2, open_s=0.1, half_open_permits=2)
    script = Script(["UNAVAILABLE", "UNAVAILABLE", b"answer"])
    async with AsyncExitStack() as stack:
        stub = await _dial(
            stack,
            await _leaf(stack, script),
            ClientPolicy(target="leaf", breaker=breaker),
            listener=listener,
        )
        await _roots(stub, 3)
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
