"""Answers that no attempt brought: fallbacks and shared calls, grpc.aio."""

import asyncio

import grpc
import pytest
from grpc import aio

import resilience
from resilience import (
    BreakerConfig,
    CacheConfig,
    CallCoalesced,
    ClientPolicy,
    CoalesceConfig,
    FallbackConfig,
    FallbackServed,
    RetryConfig,
    ServerPolicy,
)
from resilience.testing import RecordingListener, Script

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
# Opens at the first failure, for a long time.
OPENS = BreakerConfig(window_size=1, min_calls=1, open_s=60, failure_rate=0.01)


async def _fail(_request, context):
    await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")


async def test_a_value_answers_for_a_service_that_cannot(hops):
    """The second best answer comes as a call that is OK and says what it is."""
    listener = RecordingListener()
    policy = ClientPolicy(target="leaf", fallback=FallbackConfig(value=b"second best"))
    stub = await hops.dial(await hops.serve(_fail), policy, listener=listener)
    call = stub(b"")

    assert b"second best" == await call
    assert grpc.StatusCode.OK is await call.code()
    trailers = list(await call.trailing_metadata())
    assert ("x-seawall-fallback", "UNAVAILABLE") in trailers
    assert ["UNAVAILABLE"] == [e.reason for e in listener.of(FallbackServed)]


async def test_a_callers_own_mistake_is_never_masked(hops):
    """INVALID_ARGUMENT is the caller's to see, fallback or not."""

    async def wrong(_request, context):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such thing")

    policy = ClientPolicy(target="leaf", fallback=FallbackConfig(value=b"x"))
    stub = await hops.dial(await hops.serve(wrong), policy)
    with pytest.raises(aio.AioRpcError) as raised:
        await stub(b"")

    assert grpc.StatusCode.INVALID_ARGUMENT is raised.value.code()


async def test_functions_old_answers_and_other_targets(hops):
    """Tried in order: the last good answer, another target, a function."""
    script = Script([b"good", "UNAVAILABLE"])
    spare = await hops.dial(await hops.leaf(Script([b"spare"])), resilience.bare("b"))
    address = await hops.leaf(script)

    async def provide(request, error):
        return request + b"/" + error.code().name.encode()

    old = ClientPolicy(target="leaf", fallback=FallbackConfig(stale_s=60, other=spare))
    stub = await hops.dial(address, old)
    assert b"good" == await stub(b"same")
    assert b"good" == await stub(b"same")
    assert b"spare" == await stub(b"another")

    function = ClientPolicy(target="leaf", fallback=FallbackConfig(provide=provide))
    stub = await hops.dial(address, function)
    assert b"asked/UNAVAILABLE" == await stub(b"asked")


async def test_a_fallback_is_told_to_the_hop_above(hops):
    """An answer that rests on a second best one says whose that was."""
    policy = ClientPolicy(target="leaf", fallback=FallbackConfig(value=b"x"))
    inner = await hops.dial(await hops.serve(_fail), policy)
    relay = await hops.serve(hops.relay(inner), ServerPolicy())
    stub = await hops.dial(relay, resilience.bare("relay"))
    call = stub(b"")
    await call

    assert ("x-seawall-fallback", "leaf") in list(await call.trailing_metadata())


async def _open_channel(policy):
    """Return a channel whose breakers are all open."""
    interceptors = resilience.aio_client_interceptors(policy)
    channel = aio.insecure_channel("127.0.0.1:1", interceptors=interceptors)
    for kind in KINDS:
        interceptors[0].chain.slot(f"/m.M/{kind}".encode()).breaker.open()
    return channel


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_short_circuits_are_real_calls(kind, answered):
    """Refused or answered without being sent, every kind does all a call does."""
    value = [b"one", b"two"] if kind.endswith("stream") else b"one"
    fallback = FallbackConfig(value=value) if answered else None
    policy = ClientPolicy(target="leaf", breaker=OPENS, fallback=fallback)
    channel = await _open_channel(policy)
    stub = getattr(channel, kind)(f"/m.M/{kind}")
    call = stub(iter([b"q"]) if kind.startswith("stream") else b"q")
    ended = []
    call.add_done_callback(ended.append)

    async def read():
        if kind.endswith("stream"):
            return [message async for message in call]
        return await call

    if answered:
        assert value == await read()
    else:
        with pytest.raises(resilience.CircuitOpenError):
            await read()
    expected = grpc.StatusCode.OK if answered else grpc.StatusCode.UNAVAILABLE
    assert expected is await call.code()
    assert answered == ("" == await call.details())
    word = "x-seawall-fallback" if answered else "x-seawall-refusal"
    assert (word, "breaker_open") in list(await call.trailing_metadata())
    assert not list(await call.initial_metadata())
    assert call.done()
    assert not call.cancel()
    assert not call.cancelled()
    assert [call] == ended
    await channel.close()


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
async def test_read_ends_an_answered_stream(kind):
    """read() gives the messages, then EOF; and an error again and again."""
    fallback = FallbackConfig(value=[b"one"])
    policy = ClientPolicy(target="leaf", breaker=OPENS, fallback=fallback)
    channel = await _open_channel(policy)
    call = getattr(channel, kind)(f"/m.M/{kind}")(
        iter([b"q"]) if kind.startswith("stream") else b"q"
    )

    assert b"one" == await call.read()
    assert aio.EOF is await call.read()
    await channel.close()


async def test_a_refused_readers_request_is_the_fallbacks_to_see():
    """The other target and the function get the request of a stream never begun."""
    seen = []

    async def other(request, **_told):
        return [b"other", request]

    def provide(request, error):
        seen.append((request, error.code()))
        return [b"made"]

    def key(request, metadata):
        return request, dict(metadata)["user"]

    for config in (
        FallbackConfig(other=other, stale_s=1, key=key),
        FallbackConfig(provide=provide),
    ):
        policy = ClientPolicy(target="leaf", breaker=OPENS, fallback=config)
        channel = await _open_channel(policy)
        call = channel.unary_stream("/m.M/unary_stream")(
            b"asked", metadata=(("user", "a"),)
        )
        seen.append([message async for message in call])
        await channel.close()

    unavailable = grpc.StatusCode.UNAVAILABLE
    assert [[b"other", b"asked"], (b"asked", unavailable), [b"made"]] == seen


async def test_identical_reads_share_one_call(hops):
    """Fifty callers, one call on the wire; each gets a message and a real call."""
    gate, calls = asyncio.Event(), []
    listener = RecordingListener()

    async def slow(request, _context):
        calls.append(request)
        await gate.wait()
        return b"answer"

    policy = ClientPolicy(target="leaf", coalesce=CoalesceConfig(), timeout_s=5)
    stub = await hops.dial(await hops.serve(slow), policy, listener=listener)
    waiting = [stub(b"same") for _ in range(50)]
    other = stub(b"other")
    asyncio.get_running_loop().call_later(0.2, gate.set)

    assert [b"answer"] * 50 == list(await asyncio.gather(*waiting))
    assert b"answer" == await other
    assert sorted([b"same", b"other"]) == sorted(calls)
    found = [dict(await call.trailing_metadata()) for call in waiting]
    assert ["fresh"] + ["joined"] * 49 == [t["x-seawall-cache"] for t in found]
    assert 49 == len(listener.of(CallCoalesced))
    again = stub(b"same")
    assert b"answer" == await again
    assert "hit" == dict(await again.trailing_metadata())["x-seawall-cache"]


async def test_followers_survive_a_cancelled_leader(hops):
    """Who began the shared call may give up; the others get their answer."""
    gate, begun, calls = asyncio.Event(), asyncio.Event(), []

    async def slow(request, _context):
        calls.append(request)
        begun.set()
        await gate.wait()
        return b"answer"

    policy = ClientPolicy(target="leaf", coalesce=CoalesceConfig(), timeout_s=5)
    stub = await hops.dial(await hops.serve(slow), policy)
    leader = stub(b"same")
    await asyncio.wait_for(begun.wait(), 5)
    follower = stub(b"same")
    impatient = stub(b"same", timeout=0.05)
    with pytest.raises(aio.AioRpcError) as raised:
        await impatient
    leader.cancel()
    gate.set()

    assert grpc.StatusCode.DEADLINE_EXCEEDED is raised.value.code()
    assert b"answer" == await follower
    assert leader.cancelled()
    assert [b"same"] == calls


async def test_a_shared_calls_error_is_everybodys(hops):
    """An error is told to all who waited, and is not kept."""
    script = Script(["UNAVAILABLE", b"answer"])
    policy = ClientPolicy(
        target="leaf", coalesce=CoalesceConfig(cache=CacheConfig()), timeout_s=5
    )
    stub = await hops.dial(await hops.leaf(script), policy)
    found = await asyncio.gather(
        *[stub(b"same") for _ in range(5)], return_exceptions=True
    )

    assert {grpc.StatusCode.UNAVAILABLE} == {error.code() for error in found}
    assert b"answer" == await stub(b"same")
    assert 2 == script.total


async def test_no_key_means_no_sharing(hops):
    """A key of None makes the call by itself; metadata can be part of a key."""
    script = Script([b"answer"])
    keys = CoalesceConfig(key=lambda _request, metadata: dict(metadata).get("user"))
    policy = ClientPolicy(target="leaf", coalesce=keys, retry=RetryConfig())
    stub = await hops.dial(await hops.leaf(script), policy)
    for user in ("a", "a", "b"):
        await stub(b"same", metadata=(("user", user),))
    await stub(b"same", metadata=(("other", "x"),))
    await stub(b"same", metadata=(("other", "x"),))

    assert 4 == script.total
