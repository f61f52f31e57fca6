"""What the policies do over several hops: retries, deadlines, origins."""

import asyncio
import time
from collections import Counter

import grpc
import pytest
from grpc import aio

import resilience
from resilience import (
    BreakerConfig,
    BudgetConfig,
    ClientPolicy,
    RetryConfig,
)
from resilience.testing import RecordingListener, RecordingObserver, Script

pytestmark = pytest.mark.resilience

QUICK = RetryConfig(attempts=4, backoff_s=0.001, backoff_max_s=0.001)


async def _chain(hops, policy, calls):
    """root -> one -> two -> leaf, which is dead; the root's stub."""
    address = await hops.leaf(Script(["UNAVAILABLE"]), calls)
    for name in ("two", "one"):
        stub = await hops.dial(address, policy)
        address = await hops.serve(hops.relay(stub, calls, name))
    return await hops.dial(address, policy)


async def test_naive_retries_multiply_over_three_hops(hops):
    """Four attempts at each of three hops are 64 calls of a dead leaf per root."""
    calls = Counter()
    policy = ClientPolicy(target="next", retry=QUICK)
    root = await _chain(hops, policy, calls)
    await hops.roots(root, 3)

    assert {"one": 12, "two": 48, "leaf": 192} == calls


async def test_budgets_keep_retries_from_multiplying(hops):
    """With a token bucket at each hop, 200 roots cost the dead leaf 1.1 calls each."""
    calls = Counter()
    policy = ClientPolicy(target="next", retry=QUICK, retry_budget=BudgetConfig())
    root = await _chain(hops, policy, calls)
    await hops.roots(root, 200)

    assert calls["leaf"] / 200 <= 1.1
    assert calls["leaf"] >= 200


async def test_a_spent_budget_tells_the_hop_above_not_to_retry(hops):
    """A hop whose bucket is spent pushes back, and its caller makes one attempt."""
    calls = Counter()
    address = await hops.leaf(Script(["UNAVAILABLE"]), calls)
    spent = ClientPolicy(
        target="leaf", retry=QUICK, retry_budget=BudgetConfig(max_tokens=1)
    )
    stub = await hops.dial(address, spent)
    address = await hops.serve(hops.relay(stub, calls, "middle"))
    listener = RecordingListener()
    root = await hops.dial(
        address,
        ClientPolicy(target="middle", retry=QUICK),
        listener=listener,
    )
    await hops.roots(root, 1)

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
async def test_server_pushback_is_obeyed(hops, trailers, attempts, least_s):
    """gRFC A6: a number delays the retry, anything else forbids it."""
    script = Script([("UNAVAILABLE", trailers)])
    address = await hops.leaf(script)
    policy = ClientPolicy(
        target="leaf",
        retry=RetryConfig(attempts=3, backoff_s=0.001, backoff_max_s=0.001),
    )
    stub = await hops.dial(address, policy)
    started = time.monotonic()
    await hops.roots(stub, 1)
    took = time.monotonic() - started

    assert attempts == script.total
    assert took >= least_s


async def test_attempts_are_counted_in_metadata_and_told_to_the_observer(hops):
    """The second attempt says that there was one before, and succeeds."""
    observer, listener = RecordingObserver(), RecordingListener()
    address = await hops.leaf(Script(["UNAVAILABLE", b"answer"]))
    policy = ClientPolicy(target="leaf", retry=QUICK)
    stub = await hops.dial(address, policy, observer=observer, listener=listener)
    assert b"answer" == await stub(b"", metadata=(("k", "v"),))

    first, second = observer.attempts
    assert [("k", "v")] == first.metadata
    assert [("k", "v"), ("grpc-previous-rpc-attempts", "1")] == second.metadata
    assert ["UNAVAILABLE", "OK"] == [first.outcome.code, second.outcome.code]
    assert [1] == [event.attempt for event in listener.of(resilience.RetryScheduled)]


@pytest.mark.parametrize(("method", "attempts"), [("Go", 4), ("Other", 1)])
async def test_only_idempotent_methods_are_repeated(hops, method, attempts):
    """Where the repeatable methods are listed, the others get one attempt."""
    script = Script(["UNAVAILABLE"])
    address = await hops.leaf(script)
    policy = ClientPolicy(target="leaf", retry=QUICK, idempotent=frozenset({method}))
    await hops.roots(await hops.dial(address, policy), 1)

    assert attempts == script.total


async def test_an_attempt_that_times_out_by_itself_is_made_again(hops):
    """attempt_timeout_s bounds one attempt; the call goes on while it has time."""
    seen = []

    async def slow_once(_request, context):
        seen.append(context.time_remaining())
        if len(seen) == 1:
            await asyncio.sleep(5)
        return b"answer"

    address = await hops.serve(slow_once)
    retry = RetryConfig(attempts=2, backoff_s=0.001, attempt_timeout_s=0.2)
    policy = ClientPolicy(target="leaf", timeout_s=3, retry=retry)
    stub = await hops.dial(address, policy)
    assert b"answer" == await stub(b"")

    assert 2 == len(seen)
    assert max(seen) < 0.25


async def test_deadlines_shrink_over_three_hops(hops):
    """Each hop has less time than the one before it, by most of the reserve."""
    left = []

    async def leaf(_request, context):
        left.append(context.time_remaining())
        return b"answer"

    address = await hops.serve(leaf)
    policy = ClientPolicy(target="next", reserve_s=0.05, timeout_s=60)
    for _ in range(2):
        stub = await hops.dial(address, policy)

        async def go(request, context, stub=stub):
            left.append(context.time_remaining())
            return await stub(request)

        address = await hops.serve(go)
    root = await hops.dial(address, policy)
    await root(b"", timeout=2)

    one, two, three = left
    assert 2.05 > one > two + 0.03
    assert two > three + 0.03


async def test_a_call_without_time_left_is_not_sent(hops):
    """A spent deadline refuses the call here, and counts against nobody."""
    listener = RecordingListener()
    script = Script([b"answer"])
    address = await hops.leaf(script)
    policy = ClientPolicy(target="leaf", reserve_s=1, breaker=BreakerConfig())
    stub = await hops.dial(address, policy, listener=listener)
    with (
        resilience.deadline_scope(0.5),
        pytest.raises(resilience.DeadlineSpentError) as raised,
    ):
        await stub(b"")

    assert grpc.StatusCode.DEADLINE_EXCEEDED is raised.value.code()
    assert 0 == script.total
    assert 1 == len(listener.of(resilience.DeadlineRefused))
    assert 0 == stub.chain.slot(b"/h.Hop/Go").breaker.metrics().calls


async def test_without_propagation_the_leaf_has_no_deadline(hops):
    """A bare client behind a server hands no deadline on."""
    left = []

    async def leaf(_request, context):
        left.append(context.time_remaining())
        return b""

    stub = await hops.dial(await hops.serve(leaf), resilience.bare("leaf"))
    root = await hops.dial(
        await hops.serve(hops.relay(stub)), resilience.bare("middle")
    )
    await root(b"", timeout=2)

    assert [None] == left


async def test_a_dead_leaf_opens_only_the_breaker_above_it(hops):
    """A failure passed on names its origin and leaves the upper breaker closed."""
    breaker = BreakerConfig(min_calls=4, window_size=4, open_s=30)
    address = await hops.leaf(Script(["UNAVAILABLE"]))
    middle = await hops.dial(address, ClientPolicy(target="leaf", breaker=breaker))
    address = await hops.serve(hops.relay(middle))
    observer = RecordingObserver()
    root = await hops.dial(
        address,
        ClientPolicy(target="middle", breaker=breaker),
        observer=observer,
    )
    await hops.roots(root, 12)

    assert {"leaf/h.Hop/Go": "open"} == middle.chain.breakers()
    assert {"middle/h.Hop/Go": "closed"} == root.chain.breakers()
    outcomes = [attempt.outcome for attempt in observer.attempts]
    assert {"leaf"} == {outcome.origin for outcome in outcomes}
    assert [None] * 4 + ["breaker_open"] * 8 == [o.refusal for o in outcomes]


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_status_may_be_given_as_its_number(hops, blocking):
    """As grpc.aio takes them: 5 is NOT_FOUND, from the loop and from a thread."""

    async def go(_request, context):
        await context.abort(5, "no such thing")

    def go_blocking(_request, context):
        context.abort(5, "no such thing")

    address = await hops.serve(go_blocking if blocking else go)
    stub = await hops.dial(address, resilience.bare("leaf"))
    with pytest.raises(aio.AioRpcError) as raised:
        await stub(b"", timeout=5)

    assert grpc.StatusCode.NOT_FOUND is raised.value.code()
    assert "no such thing" == raised.value.details()
