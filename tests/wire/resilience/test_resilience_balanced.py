"""A balanced grpc.aio channel over real servers."""

import asyncio
import gc
from contextlib import AsyncExitStack

import grpc
import pytest
from grpc import aio

import resilience
from resilience import ClientPolicy, HedgeConfig, RetryConfig
from resilience.balancing import (
    Backend,
    Balancer,
    Locality,
    LocalityFirst,
    OutlierConfig,
    PeakEwma,
    RoundRobin,
    open_aio_channel,
)
from resilience.testing import Delay, Fail, Hang, Script, aio_scripted_server

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
METHODS = {f"/t.T/{kind}": kind for kind in KINDS}


def _retrying(attempts=2):
    config = RetryConfig(attempts=attempts, backoff_s=0.001, backoff_max_s=0.001)
    return resilience.aio_client_interceptors(ClientPolicy(target="t", retry=config))


def _scripts(step):
    return {
        method: Script([[step] if kind.endswith("stream") else step])
        for method, kind in METHODS.items()
    }


def _call(channel, kind, **options):
    stub = getattr(channel, kind)(
        f"/t.T/{kind}",
        request_serializer=bytes,
        response_deserializer=lambda data: data.decode(),
    )
    # The scripted servers read no requests, which grpc.aio may take for an error
    # once there are interceptors, so nothing is streamed to them.
    return stub(iter(()) if kind.startswith("stream") else b"q", **options)


async def _use(channel, kind="unary_unary", **options):
    call = _call(channel, kind, **options)
    if kind.endswith("stream"):
        return "".join([message async for message in call])
    return await call


async def _until(happened):
    for _ in range(1000):
        if happened():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within five seconds")


def _idle(balancer):
    return not any(node.pending for node in balancer.nodes)


@pytest.fixture
async def ring():
    """ring(a=step, b=step): a balancer's backends, each a scripted server."""
    async with AsyncExitStack() as stack:

        async def make(**steps):
            backends = []
            for name, step in steps.items():
                server = await stack.enter_async_context(
                    aio_scripted_server(_scripts(step), kinds=METHODS)
                )
                backends.append(Backend(name=name, address=server.address))
            return backends

        yield make


def _dead(name):
    """Return a backend that nobody serves: port 1 refuses."""
    return Backend(name=name, address="127.0.0.1:1")


@pytest.mark.parametrize("intercepted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_all_kinds_reach_all_backends(kind, intercepted, ring):
    """Round robin over two servers, with the stub's own serialisers."""
    balancer = Balancer("t", await ring(a=b"a", b=b"b"), RoundRobin())
    above = _retrying() if intercepted else ()
    async with open_aio_channel(balancer, interceptors=above) as channel:
        found = [await _use(channel, kind) for _ in range(6)]

    assert ["a", "a", "a", "b", "b", "b"] == sorted(found)
    assert _idle(balancer)


@pytest.mark.parametrize("intercepted", [False, True])
async def test_a_stream_may_be_read_and_written_by_hand(intercepted, ring):
    """The call is a grpc.aio call, with all that one can do."""
    balancer = Balancer("t", await ring(a=b"a", b=b"b"), RoundRobin())
    above = _retrying() if intercepted else ()
    async with open_aio_channel(balancer, interceptors=above) as channel:
        call = channel.stream_stream("/t.T/stream_stream")()
        await call.done_writing()

        assert b"a" == await call.read()
        assert grpc.StatusCode.OK is await call.code()
        await _until(lambda: _idle(balancer))


async def test_a_retry_goes_to_another_backend(ring):
    """Whichever the first attempt met, dead or failing, the second meets the good."""
    (good,) = await ring(good=b"good")
    for bad in (_dead("bad"), *await ring(bad="UNAVAILABLE")):
        balancer = Balancer("t", [bad, good], RoundRobin())
        async with open_aio_channel(balancer, interceptors=_retrying()) as channel:
            assert ["good"] * 10 == [await _use(channel) for _ in range(10)]


async def test_every_attempt_goes_to_a_backend_not_tried(ring):
    """Of three attempts at three backends no two go to the same one."""
    backends = await ring(a="UNAVAILABLE", b="UNAVAILABLE", good=b"good")
    balancer = Balancer("t", backends, RoundRobin())
    async with open_aio_channel(balancer, interceptors=_retrying(3)) as channel:
        found = await asyncio.gather(*[_use(channel) for _ in range(12)])

    assert ["good"] * 12 == found


async def test_a_hedge_goes_to_another_backend(ring):
    """A slow backend is hedged at the quick one, and is known as slow from then on."""
    backends = await ring(slow=Delay(5, b"slow"), quick=b"quick")
    balancer = Balancer("t", backends, PeakEwma())
    policy = ClientPolicy(target="t", hedge=HedgeConfig(delay_s=0.03, extra_load=1))
    interceptors = resilience.aio_client_interceptors(policy)
    async with open_aio_channel(balancer, interceptors=interceptors) as channel:
        found = [await _use(channel) for _ in range(6)]

    assert ["quick"] * 6 == found
    assert balancer.nodes[0].cost > 0.02


@pytest.mark.parametrize("bad", [Delay(0.05, b"bad"), "UNAVAILABLE"])
async def test_weighted_response_time_leaves_the_bad_backend(bad, ring):
    """PeakEwma rarely asks who is slow, or who fails at once; round robin does."""
    backends = await ring(bad=bad, a=b"a", b=b"b")
    shares = []
    for picker in (RoundRobin(), PeakEwma()):
        balancer = Balancer("t", backends, picker)
        async with open_aio_channel(balancer) as channel:
            found = await _counted(channel, 60)
        shares.append(60 - found)

    assert 20 == shares[0]
    assert shares[1] < 10


async def _counted(channel, calls):
    """Return how many of the calls were answered by a good backend."""
    good = 0
    for _ in range(calls):
        try:
            good += await _use(channel) != "bad"
        except aio.AioRpcError:
            continue
    return good


async def test_a_failing_backend_is_ejected_and_returns(ring):
    """After its failures it gets no calls; when its time is over it does again."""
    backends = await ring(bad="UNAVAILABLE", good=b"good", other=b"other")
    config = OutlierConfig(consecutive_failures=2, interval_s=0.05, base_ejection_s=1.5)
    balancer = Balancer("t", backends, RoundRobin(), outliers=config)
    async with open_aio_channel(balancer) as channel:
        assert 28 == await _counted(channel, 30)
        assert {"bad"} == balancer.ejected
        await _until(lambda: not balancer.ejected)

        assert await _counted(channel, 3) == 2


@pytest.mark.parametrize(
    ("trailers", "ejected"),
    [((), True), ((("x-seawall-origin", "leaf"),), False)],
)
async def test_a_failure_that_was_passed_on_ejects_nobody(trailers, ejected, ring):
    """The hop behind it failed, and says so: the relay is no outlier."""
    backends = await ring(relay=Fail("UNAVAILABLE", trailers=trailers), a=b"a", b=b"b")
    config = OutlierConfig(consecutive_failures=1)
    balancer = Balancer("t", backends, RoundRobin(), outliers=config)
    async with open_aio_channel(balancer) as channel:
        await _counted(channel, 3)

    assert ejected == bool(balancer.ejected)


async def test_the_nearest_are_asked_first_and_overflow(ring):
    """All calls stay near, until the near one is ejected."""
    script = {"near": b"near", "far": b"far"}
    near, far = await ring(**script)
    failing = (await ring(failing="UNAVAILABLE"))[0]
    here = Locality(region="eu", zone="eu-a", regions={"us": 80})
    backends = [
        Backend(name="far", address=far.address, region="us"),
        Backend(name="near", address=near.address, region="eu", zone="eu-a"),
    ]
    config = OutlierConfig(consecutive_failures=1)
    picker = LocalityFirst(RoundRobin(), here=here)
    balancer = Balancer("t", backends, picker, outliers=config)
    async with open_aio_channel(balancer, interceptors=_retrying()) as channel:
        assert ["near"] * 10 == [await _use(channel) for _ in range(10)]
        near = Backend(name="near", address=failing.address, region="eu", zone="eu-a")
        channel.update([backends[0], near])

        assert ["far"] * 10 == [await _use(channel) for _ in range(10)]
    assert {"near"} == balancer.ejected


async def test_backends_come_and_go_and_calls_run_on(ring):
    """The next call sees the new list; one at a backend that left is answered."""
    first, second = await ring(first=Delay(0.2, b"first"), second=b"second")
    balancer = Balancer("t", [first], RoundRobin())
    async with open_aio_channel(balancer) as channel:
        running = _call(channel, "unary_unary")
        await asyncio.sleep(0)
        channel.update([second])
        old = balancer.nodes[0].backend
        assert "second" == await _use(channel)
        assert not running.done()
        assert "first" == await running
        await _until(lambda: not channel._targets._drains)
        await channel.channel_ready()

        assert second is old
        assert grpc.ChannelConnectivity.READY is channel.get_state()
    assert grpc.ChannelConnectivity.SHUTDOWN is channel.get_state()


async def test_who_left_has_so_long_to_end_its_calls(ring):
    """What still runs after the time to drain is cut off."""
    first, second = await ring(first=Hang(), second=b"second")
    balancer = Balancer("t", [first], RoundRobin())
    async with open_aio_channel(balancer, drain_s=0.05) as channel:
        running = _call(channel, "unary_unary")
        await asyncio.sleep(0)
        channel.update([second])
        with pytest.raises(asyncio.CancelledError):
            await running

        assert "second" == await _use(channel)


@pytest.mark.parametrize("intercepted", [False, True])
async def test_close_releases_everything(intercepted, ring):
    """Calls are cut off, at those who left too; no task stays, no call is taken."""
    first, second = await ring(first=Hang(), second=Hang())
    balancer = Balancer("t", [first], RoundRobin())
    tasks = asyncio.all_tasks()
    above = _retrying() if intercepted else ()
    channel = open_aio_channel(balancer, interceptors=above)
    calls = [_call(channel, "unary_unary")]
    (node,) = balancer.nodes
    await _until(lambda: node.pending)
    channel.update([second])
    calls.append(_call(channel, "unary_unary"))
    await _until(lambda: balancer.nodes[0].pending)
    await channel.close()
    ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)

    assert all(isinstance(end, asyncio.CancelledError | grpc.RpcError) for end in ends)
    assert 0 == node.pending
    assert _idle(balancer)
    with pytest.raises(aio.UsageError):
        await _use(channel)
    with pytest.raises(RuntimeError):
        channel.update([first])
    with pytest.raises(aio.UsageError):
        await channel.channel_ready()
    del ends, calls
    gc.collect()
    # The servers' own tasks come and go.
    await _until(
        lambda: (
            not [
                task
                for task in asyncio.all_tasks() - tasks
                if "AioServer" not in repr(task) and "_aio_play" not in repr(task)
            ]
        )
    )


async def test_close_waits_for_as_long_as_it_is_told(ring):
    """With a grace a running call is answered."""
    balancer = Balancer("t", await ring(a=Delay(0.1, b"a")), RoundRobin())
    channel = open_aio_channel(balancer)
    running = _call(channel, "unary_unary")
    await asyncio.sleep(0)
    await channel.close(5)

    assert "a" == await running


async def test_a_wait_for_ready_is_woken_by_a_new_list(ring):
    """A channel of dead backends becomes ready by the list that brings a live one."""
    balancer = Balancer("t", [], RoundRobin())
    async with open_aio_channel(balancer) as channel:
        ready = asyncio.ensure_future(channel.channel_ready())
        await asyncio.sleep(0)
        assert grpc.ChannelConnectivity.TRANSIENT_FAILURE is channel.get_state()
        channel.update(await ring(a=b"a"))

        await asyncio.wait_for(ready, 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("intercepted", [False, True])
async def test_no_backend_is_told_as_unavailable(kind, intercepted):
    """A target without backends refuses, as an RpcError that says so."""
    above = _retrying() if intercepted else ()
    balancer = Balancer("t", [], RoundRobin())
    async with open_aio_channel(balancer, interceptors=above) as channel:
        with pytest.raises(resilience.NoBackendError) as raised:
            await _use(channel, kind)

        assert grpc.StatusCode.UNAVAILABLE is raised.value.code()


class _Renaming(aio.UnaryUnaryClientInterceptor):
    """Hands on a method's bare name, as an interceptor may."""

    def __init__(self, name):
        self._name = name

    async def intercept_unary_unary(self, continuation, client_call_details, request):
        details = client_call_details._replace(method=self._name)
        return await continuation(details, request)


async def test_an_interceptor_may_hand_on_a_bare_name(ring):
    """A method that the channel knows is found by name; another is refused."""
    balancer = Balancer("t", await ring(a=b"a"), RoundRobin())
    for name in ("/t.T/unary_unary", b"/t.T/unary_unary"):
        above = [_Renaming(name)]
        async with open_aio_channel(balancer, interceptors=above) as channel:
            assert "a" == await _use(channel)
    above = [_Renaming(b"/t.T/Other")]
    async with open_aio_channel(balancer, interceptors=above) as channel:
        with pytest.raises(TypeError, match="Other"):
            await _use(channel)


async def test_a_call_that_was_never_made_gives_its_place_back(ring):
    """An error of the caller's own says nothing about the backend."""
    config = OutlierConfig(consecutive_failures=1)
    balancer = Balancer("t", await ring(a=b"a"), RoundRobin(), outliers=config)
    async with open_aio_channel(balancer) as channel:
        with pytest.raises(TypeError):
            _call(channel, "unary_unary", timeout="soon")

    assert _idle(balancer)
    assert not balancer.ejected
