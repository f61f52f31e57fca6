"""Balanced channels over real servers, grpc.aio and blocking."""

import gc
import time
from contextlib import AsyncExitStack, ExitStack

import grpc
import pytest
from grpc import aio

import resilience
from resilience import ClientPolicy, HedgeConfig, RetryConfig
from resilience.balancing import (
    Backend,
    Balancer,
    LocalityFirst,
    OutlierConfig,
    Outliers,
    PeakEwma,
    RoundRobin,
    open_aio_channel,
    open_channel,
)
from resilience.testing import Delay, Script, aio_scripted_server, scripted_server

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
METHODS = {f"/t.T/{kind}": kind for kind in KINDS}
RETRY = ClientPolicy(
    target="t",
    retry=RetryConfig(attempts=2, backoff_s=0.001, backoff_max_s=0.001),
)


def _scripts(step):
    return {
        method: Script([[step] if kind.endswith("stream") else step])
        for method, kind in METHODS.items()
    }


async def _aio_use(channel, kind, **options):
    stub = getattr(channel, kind)(
        f"/t.T/{kind}",
        request_serializer=bytes,
        response_deserializer=lambda data: data.decode(),
    )
    call = stub(iter([b"q"]) if kind.startswith("stream") else b"q", **options)
    if kind.endswith("stream"):
        return [message async for message in call]
    return [await call]


def _use(channel, kind, **options):
    stub = getattr(channel, kind)(
        f"/t.T/{kind}",
        request_serializer=bytes,
        response_deserializer=lambda data: data.decode(),
    )
    answer = stub(iter([b"q"]) if kind.startswith("stream") else b"q", **options)
    return list(answer) if kind.endswith("stream") else [answer]


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


@pytest.fixture
def blocking_ring():
    with ExitStack() as stack:

        def make(**steps):
            return [
                Backend(
                    name=name,
                    address=stack.enter_context(
                        scripted_server(_scripts(step), kinds=METHODS)
                    ).address,
                )
                for name, step in steps.items()
            ]

        yield make


@pytest.mark.parametrize("kind", KINDS)
async def test_all_kinds_reach_all_backends(kind, ring):
    """Round robin over two servers, with the stub's own serialisers."""
    balancer = Balancer("t", await ring(a=b"a", b=b"b"), RoundRobin())
    async with open_aio_channel(balancer) as channel:
        found = [(await _aio_use(channel, kind))[0] for _ in range(6)]

    assert ["a", "a", "a", "b", "b", "b"] == sorted(found)
    assert [0, 0] == [node.pending for node in balancer._nodes.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_reach_all_backends_blocking(kind, blocking_ring):
    """The same for blocking gRPC, futures and with_call too."""
    balancer = Balancer("t", blocking_ring(a=b"a", b=b"b"), RoundRobin())
    with open_channel(balancer) as channel:
        found = [_use(channel, kind)[0] for _ in range(6)]
        if kind.endswith("unary"):
            stub = getattr(channel, kind)(f"/t.T/{kind}")
            request = (lambda: iter([b"q"])) if kind[0] == "s" else (lambda: b"q")
            assert stub.with_call(request())[0] in {b"a", b"b"}
            assert stub.future(request()).result() in {b"a", b"b"}
        _until(lambda: not any(n.pending for n in balancer._nodes.values()))

    assert ["a", "a", "a", "b", "b", "b"] == sorted(found)


def _until(happened):
    for _ in range(1000):
        if happened():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen within five seconds")


async def test_a_retry_goes_to_another_backend(ring):
    """Whichever the first attempt met, the second meets the good one."""
    backends = await ring(bad="UNAVAILABLE", good=b"good")
    balancer = Balancer("t", backends, RoundRobin())
    interceptors = resilience.aio_client_interceptors(RETRY)
    async with open_aio_channel(balancer, interceptors=interceptors) as channel:
        found = [await _aio_use(channel, "unary_unary") for _ in range(10)]

    assert [["good"]] * 10 == found


def test_a_blocking_retry_goes_to_another_backend(blocking_ring):
    """The same for blocking gRPC."""
    backends = blocking_ring(bad="UNAVAILABLE", good=b"good")
    balancer = Balancer("t", backends, RoundRobin())
    with open_channel(balancer) as channel:
        wrapped = grpc.intercept_channel(
            channel, *resilience.client_interceptors(RETRY)
        )
        found = [_use(wrapped, "unary_unary") for _ in range(10)]

    assert [["good"]] * 10 == found


async def test_a_hedge_goes_to_another_backend(ring):
    """A slow backend is hedged at the quick one."""
    backends = await ring(slow=Delay(5, b"slow"), quick=b"quick")
    balancer = Balancer("t", backends, RoundRobin())
    policy = ClientPolicy(target="t", hedge=HedgeConfig(delay_s=0.03, extra_load=1))
    interceptors = resilience.aio_client_interceptors(policy)
    async with open_aio_channel(balancer, interceptors=interceptors) as channel:
        found = [await _aio_use(channel, "unary_unary") for _ in range(6)]

    assert [["quick"]] * 6 == found


async def test_weighted_response_time_leaves_the_slow_backend(ring):
    """PeakEwma asks the slow one rarely, where round robin asks it every time."""
    backends = await ring(slow=Delay(0.05, b"slow"), a=b"a", b=b"b")
    shares = []
    for picker in (RoundRobin(), PeakEwma()):
        balancer = Balancer("t", backends, picker)
        async with open_aio_channel(balancer) as channel:
            found = [await _aio_use(channel, "unary_unary") for _ in range(60)]
        shares.append(found.count(["slow"]))

    assert 20 == shares[0]
    assert shares[1] < 10


async def test_a_failing_backend_is_ejected_and_returns(ring):
    """After its failures it gets no calls; when its time is over it does again."""
    backends = await ring(bad="UNAVAILABLE", good=b"good", other=b"other")
    outliers = Outliers(
        "t",
        OutlierConfig(consecutive_failures=2, interval_s=0.05, base_ejection_s=0.2),
    )
    balancer = Balancer("t", backends, RoundRobin(), outliers=outliers)
    async with open_aio_channel(balancer) as channel:
        failures = 0
        for _ in range(30):
            try:
                await _aio_use(channel, "unary_unary")
            except aio.AioRpcError:
                failures += 1
            if outliers.ejected():
                break
        assert 2 == failures
        for _ in range(1000):
            if not outliers.ejected():
                break
            assert await _aio_use(channel, "unary_unary") != ["bad"]

        assert not outliers.ejected()


async def test_the_nearest_are_asked_first(ring):
    """With all of them healthy, what is further away gets nothing."""
    near, far = await ring(near=b"near", far=b"far")
    far = Backend(name=far.name, address=far.address, distance=80)
    balancer = Balancer("t", [far, near], LocalityFirst(RoundRobin()))
    async with open_aio_channel(balancer) as channel:
        found = [await _aio_use(channel, "unary_unary") for _ in range(10)]

    assert [["near"]] * 10 == found


async def test_backends_come_and_go(ring):
    """A list taken over at run time is what the next call sees."""
    first, second = await ring(first=b"first", second=b"second")
    balancer = Balancer("t", [first], RoundRobin())
    async with open_aio_channel(balancer) as channel:
        assert ["first"] == await _aio_use(channel, "unary_unary")
        channel.update([second])
        assert ["second"] == await _aio_use(channel, "unary_unary")
        await channel.channel_ready()

        assert grpc.ChannelConnectivity.READY is channel.get_state()
    assert grpc.ChannelConnectivity.SHUTDOWN is channel.get_state()


def test_blocking_backends_come_and_go(blocking_ring):
    """The same for blocking gRPC."""
    first, second = blocking_ring(first=b"first", second=b"second")
    balancer = Balancer("t", [first], RoundRobin())
    with open_channel(balancer) as channel:
        assert ["first"] == _use(channel, "unary_unary")
        channel.update([second])
        assert ["second"] == _use(channel, "unary_unary")
        states = []
        channel.subscribe(states.append, try_to_connect=True)
        _until(lambda: grpc.ChannelConnectivity.READY in states)
        channel.unsubscribe(states.append)


def test_a_dropped_stream_gives_its_place_back(blocking_ring):
    """A stream that its caller forgot is no call in flight."""
    backends = blocking_ring(a=b"a")
    balancer = Balancer("t", backends, RoundRobin())
    with open_channel(balancer) as channel:
        call = channel.unary_stream("/t.T/unary_stream")(b"q")
        next(call)
        del call
        gc.collect()
        _until(lambda: not any(n.pending for n in balancer._nodes.values()))


async def test_no_backend_is_told_as_unavailable():
    """A target without backends refuses, as an RpcError that says so."""
    async with open_aio_channel(Balancer("t", [], RoundRobin())) as channel:
        with pytest.raises(resilience.NoBackendError) as raised:
            await _aio_use(channel, "unary_unary")
    with (
        open_channel(Balancer("t", [], RoundRobin())) as channel,
        pytest.raises(grpc.RpcError),
    ):
        _use(channel, "unary_unary")

    assert grpc.StatusCode.UNAVAILABLE is raised.value.code()
