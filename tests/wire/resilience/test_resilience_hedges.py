"""Hedged calls on the wire, and what else an attempt must pass, grpc.aio."""

import asyncio
import itertools

import grpc
import pytest
from grpc import aio

import resilience
from resilience import (
    AIMDConfig,
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    ClientPolicy,
    Criticality,
    DeadlineRefused,
    HedgeConfig,
    HedgeRefused,
    HedgeSent,
    LimitConfig,
    MethodPolicy,
    ServerPolicy,
    ThrottleConfig,
    criticality_scope,
    current_criticality,
    current_level,
    policies,
)
from resilience.testing import RecordingListener, RecordingObserver, Script

pytestmark = pytest.mark.resilience

# Extra load of 1: every call may be hedged, so that a test needs one call.
NOW = HedgeConfig(delay_s=0.02, extra_load=1.0)


def _slow_first():
    """A handler whose first call hangs, and what its calls saw of their end."""
    count, cancelled = itertools.count(1), asyncio.Event()

    async def go(request, context):
        if next(count) == 1:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.set()
                raise
        metadata = dict(context.invocation_metadata())
        return metadata.get("x-seawall-criticality", "none").encode()

    return go, cancelled


async def test_a_hedge_answers_for_a_slow_attempt_and_the_loser_is_cancelled(hops):
    """The second attempt's answer is the call's; the first is ended at its callee."""
    go, cancelled = _slow_first()
    listener, observer = RecordingListener(), RecordingObserver()
    policy = ClientPolicy(
        target="leaf",
        hedge=NOW,
        breaker=BreakerConfig(),
        bulkhead=BulkheadConfig(limit=5),
    )
    stub = await hops.dial(
        await hops.serve(go), policy, listener=listener, observer=observer
    )

    assert b"none" == await stub(b"", timeout=5)
    await asyncio.wait_for(cancelled.wait(), 5)
    first, second = (attempt.outcome for attempt in observer.attempts)
    assert ("CANCELLED", "hedge") == (first.code, first.cancelled_by)
    assert ("OK", None) == (second.code, second.cancelled_by)
    assert ("grpc-previous-rpc-attempts", "1") in observer.attempts[1].metadata
    assert [2] == [event.attempt for event in listener.of(HedgeSent)]
    assert {"leaf": 0} == stub.chain.held()
    (slot,) = stub.chain._slots.values()
    # Only the winner counts, and nothing is held.
    assert 1 == slot.breaker.metrics().calls


async def test_a_hedge_is_one_level_less_critical(hops):
    """Extra work goes first when the callee sheds."""
    go, _ = _slow_first()
    stub = await hops.dial(
        await hops.serve(go),
        ClientPolicy(target="leaf", hedge=NOW, criticality=Criticality.CRITICAL),
    )

    assert b"sheddable-plus" == await stub(b"", timeout=5)


async def test_a_cancelled_caller_cancels_every_attempt(hops):
    """Nothing of a hedged call goes on after its caller gave up."""
    observer = RecordingObserver()

    async def hang(_request, _context):
        await asyncio.sleep(30)

    stub = await hops.dial(
        await hops.serve(hang),
        ClientPolicy(target="leaf", hedge=NOW, bulkhead=BulkheadConfig(limit=9)),
        observer=observer,
    )
    call = stub(b"")
    task = asyncio.ensure_future(_await(call))
    await _until(lambda: len(observer.attempts) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until(lambda: all(attempt.outcomes for attempt in observer.attempts))

    ends = {(a.outcome.code, a.outcome.cancelled_by) for a in observer.attempts}
    assert {("CANCELLED", "caller")} == ends
    assert {"leaf": 0} == stub.chain.held()


async def _until(happened):
    for _ in range(1000):
        if happened():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within five seconds")


async def _await(call):
    return await call


async def test_hedges_and_retries_share_one_bucket(hops):
    """When failures have spent the tokens, no hedge is sent."""
    listener = RecordingListener()
    script = Script(["UNAVAILABLE"])
    stub = await hops.dial(
        await hops.leaf(script),
        ClientPolicy(target="leaf", hedge=NOW, retry_budget=BudgetConfig(max_tokens=4)),
        listener=listener,
    )
    await hops.roots(stub, 10)

    # 4, 3, then 2 tokens: half is left after two failures.
    assert 10 + 1 == script.total
    assert "budget" in {event.reason for event in listener.of(HedgeRefused)}


async def test_the_extra_load_is_bounded(hops):
    """Twenty slow calls at 5 % extra load make one hedge."""

    async def slow(_request, _context):
        await asyncio.sleep(0.1)
        return b"answer"

    observer = RecordingObserver()
    policy = ClientPolicy(
        target="leaf", hedge=HedgeConfig(delay_s=0.01, extra_load=0.05)
    )
    stub = await hops.dial(await hops.serve(slow), policy, observer=observer)
    await asyncio.gather(*[stub(b"") for _ in range(20)])

    assert 21 == len(observer.attempts)


async def test_a_fatal_answer_ends_a_hedged_call(hops):
    """A caller's own mistake is not tried a second time."""
    script = Script(["INVALID_ARGUMENT"])
    stub = await hops.dial(
        await hops.leaf(script), ClientPolicy(target="leaf", hedge=NOW)
    )
    await hops.roots(stub, 1)

    assert 1 == script.total


async def test_only_what_may_be_repeated_is_hedged(hops):
    """A method that is not idempotent is neither hedged nor retried."""
    script = Script(["UNAVAILABLE"])
    policy = ClientPolicy(target="leaf", hedge=NOW, idempotent=frozenset({"Other"}))
    stub = await hops.dial(await hops.leaf(script), policy)
    await hops.roots(stub, 1)

    assert 1 == script.total


async def test_breakers_can_be_kept_by_context(hops):
    """One tenant's failures open that tenant's breaker, and no other's."""

    async def go(request, context):
        if request == b"bad":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")
        return b"answer"

    policy = ClientPolicy(
        target="leaf",
        breaker=BreakerConfig(window_size=2, min_calls=2),
        breaker_key=lambda request, _metadata: request.decode(),
    )
    stub = await hops.dial(await hops.serve(go), policy)
    await hops.roots(lambda _, timeout: stub(b"bad", timeout=timeout), 3)

    assert b"answer" == await stub(b"good")
    states = stub.chain.breakers()
    assert "open" == states["leaf/h.Hop/Go[bad]"]
    assert "closed" == states["leaf/h.Hop/Go[good]"]


async def test_a_call_that_cannot_be_done_in_time_is_not_sent(hops):
    """Less time than the method needs: refused here, and no breaker hears of it."""
    listener, script = RecordingListener(), Script([b"answer"])
    policy = ClientPolicy(
        target="leaf",
        breaker=BreakerConfig(),
        methods={"Go": MethodPolicy(needs_s=0.5)},
    )
    stub = await hops.dial(await hops.leaf(script), policy, listener=listener)
    assert b"answer" == await stub(b"", timeout=5)
    with pytest.raises(resilience.DeadlineSpentError) as raised:
        await stub(b"", timeout=0.4)

    assert grpc.StatusCode.DEADLINE_EXCEEDED is raised.value.code()
    assert 1 == script.total
    assert 1 == len(listener.of(DeadlineRefused))
    (slot,) = stub.chain._slots.values()
    assert 1 == slot.breaker.metrics().calls


async def test_what_a_method_needs_can_be_measured(hops):
    """Twenty calls of 50 ms later, one with 20 ms left is not sent."""

    async def slow(_request, _context):
        await asyncio.sleep(0.05)
        return b"answer"

    policy = ClientPolicy(target="leaf", needs_percentile=0.5)
    stub = await hops.dial(await hops.serve(slow), policy)
    await asyncio.gather(*[stub(b"") for _ in range(20)])
    with pytest.raises(resilience.DeadlineSpentError):
        await stub(b"", timeout=0.02)


async def test_the_throttle_holds_back_what_would_be_refused(hops):
    """A callee that refuses everything is asked ever less."""
    script = Script(["RESOURCE_EXHAUSTED"])
    policy = policies("leaf", ThrottleConfig())
    stub = await hops.dial(await hops.leaf(script), policy)
    await hops.roots(stub, 200)

    assert script.total < 80


async def test_the_adaptive_limit_holds_on_the_client(hops):
    """Calls beyond what the callee seems to bear are refused at once."""
    gate = asyncio.Event()

    async def wait(_request, _context):
        await gate.wait()
        return b"answer"

    limit = LimitConfig(algorithm=AIMDConfig(initial=2, least=2))
    stub = await hops.dial(await hops.serve(wait), policies("leaf", limit))
    calls = [stub(b"") for _ in range(3)]
    with pytest.raises(resilience.LimitReachedError) as raised:
        await calls[2]
    gate.set()
    await asyncio.gather(*calls[:2])

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is raised.value.code()
    assert {"leaf": 0} == stub.chain.held()


async def test_criticality_travels_over_two_hops(hops):
    """What the first caller says is what the last callee knows."""
    seen = []

    async def leaf(_request, _context):
        seen.append((current_criticality(), current_level()))
        return b"answer"

    inner = await hops.dial(await hops.serve(leaf), resilience.bare("leaf"))
    relay = await hops.serve(hops.relay(inner), ServerPolicy())
    stub = await hops.dial(relay, resilience.bare("relay"))
    with criticality_scope(Criticality.SHEDDABLE, user=42):
        await stub(b"")
    await stub(b"")

    assert [(Criticality.SHEDDABLE, 42), (None, None)] == seen


async def test_the_server_sheds_the_least_critical_first(hops):
    """A full share for sheddable calls leaves room for the critical ones."""
    gate = asyncio.Event()

    async def wait(_request, _context):
        await gate.wait()
        return b"answer"

    policy = ServerPolicy(
        limit=LimitConfig(algorithm=AIMDConfig(initial=10, least=10, most=10)),
        shedding=resilience.SheddingConfig(),
    )
    address = await hops.serve(wait, policy)
    low = await hops.dial(
        address, ClientPolicy(target="s", criticality=Criticality.SHEDDABLE)
    )
    high = await hops.dial(
        address, ClientPolicy(target="s", criticality=Criticality.CRITICAL)
    )
    left = {asyncio.ensure_future(_ended(low(b""))) for _ in range(20)}
    refused = set()
    while len(left) > 8:
        done, left = await asyncio.wait(
            left, return_when=asyncio.FIRST_COMPLETED, timeout=5
        )
        assert done
        refused |= {call.result() for call in done}
    critical = [high(b"") for _ in range(2)]
    asyncio.get_running_loop().call_later(0.1, gate.set)

    assert [b"answer"] * 2 == list(await asyncio.gather(*critical))
    assert [None] * 8 == list(await asyncio.gather(*left))
    assert {"shed"} == refused


async def _ended(call):
    try:
        await call
    except aio.AioRpcError as error:
        return dict(error.trailing_metadata())["x-seawall-refusal"]
    return None


class Calls(RecordingObserver):
    """An observer that watches whole calls as well."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def call_finished(self, target, method, **told):
        told.pop("duration_s")
        delay = told.pop("retry_delay_s")
        self.calls.append((target, method, told, delay > 0))


async def test_whole_calls_are_told_with_their_extra_attempts(hops):
    """An observer that asks learns of each call once, hedges and retries counted."""
    go, _ = _slow_first()
    calls = Calls()
    policy = ClientPolicy(target="leaf", hedge=NOW)
    stub = await hops.dial(await hops.serve(go), policy, observer=calls)
    await stub(b"", timeout=5)
    retry = resilience.RetryConfig(attempts=3, backoff_s=0.001, jitter="none")
    script = Script(["UNAVAILABLE", "UNAVAILABLE", b"x", "NOT_FOUND"])
    policy = ClientPolicy(target="leaf", retry=retry)
    stub = await hops.dial(await hops.leaf(script), policy, observer=calls)
    await stub(b"")
    await hops.roots(stub, 1)

    name = ("leaf", "/h.Hop/Go")
    assert [
        (*name, {"code": "OK", "retries": 0, "hedges": 1}, False),
        (*name, {"code": "OK", "retries": 2, "hedges": 0}, True),
        (*name, {"code": "NOT_FOUND", "retries": 0, "hedges": 0}, False),
    ] == calls.calls
