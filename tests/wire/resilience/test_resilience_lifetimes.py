"""Streams that live long, over the wire: nobody takes that for load or for silence."""

import asyncio
import threading
from concurrent import futures
from types import SimpleNamespace

import grpc
import pytest
from grpc import aio

import resilience
from resilience import (
    AIMDConfig,
    BreakerConfig,
    LimitConfig,
    ServerPolicy,
    policies,
)
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience

SERVED = ServerPolicy(
    limit=LimitConfig(algorithm=AIMDConfig(initial=20, timeout_s=1), window_s=0)
)


def _generic(kind, behaviour):
    handler = getattr(grpc, f"{kind}_rpc_method_handler")(behaviour)
    return grpc.method_handlers_generic_handler("h.Hop", {"Go": handler})


def _ask(channel, kind):
    """Make one call of *kind* with blocking grpc and wait for its end."""
    stub = getattr(channel, kind)("/h.Hop/Go")
    answer = stub(b"q" if kind.startswith("unary") else iter([b"q"]), timeout=10)
    if kind.endswith("stream"):
        list(answer)


def _coroutine(clock, kind):
    async def unary(_request, _context):
        clock.advance(60)
        return b"answer"

    async def stream(_request, context):
        await context.write(b"one")
        clock.advance(60)

    return stream if kind.endswith("stream") else unary


def _blocking(clock):
    def unary(_request, _context):
        clock.advance(60)
        return b"answer"

    return unary


@pytest.mark.parametrize(
    ("kind", "coroutine", "limit"),
    [
        ("unary_unary", True, 18),
        ("unary_stream", True, 20),
        ("stream_unary", True, 20),
        ("stream_stream", True, 20),
        ("unary_unary", False, 18),
        ("stream_unary", False, 20),
    ],
)
async def test_an_aio_servers_limit_does_not_learn_how_long_streams_live(
    kind, coroutine, limit
):
    """Handlers of streams teach nothing, as generators do; a late answer does."""
    interceptor = resilience.aio_server_interceptor(SERVED)
    clock = interceptor.admission.clock = FakeClock()
    server = aio.server(interceptors=[interceptor])
    behaviour = _coroutine(clock, kind) if coroutine else _blocking(clock)
    server.add_generic_rpc_handlers((_generic(kind, behaviour),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        await asyncio.to_thread(_ask, channel, kind)
    await server.stop(0)

    limiter = interceptor.admission.limiter
    assert (limit, 0) == (limiter.limit, limiter.in_flight)


@pytest.mark.parametrize(("kind", "limit"), [("unary_unary", 18), ("stream_unary", 20)])
def test_a_blocking_servers_limit_does_not_learn_how_long_streams_live(kind, limit):
    """A handler of many requests teaches nothing; a late answer to one does."""
    interceptor = resilience.server_interceptor(SERVED)
    clock = interceptor.admission.clock = FakeClock()
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=[interceptor])
    server.add_generic_rpc_handlers((_generic(kind, _blocking(clock)),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        _ask(channel, kind)
    server.stop(0).wait(5)

    limiter = interceptor.admission.limiter
    assert (limit, 0) == (limiter.limit, limiter.in_flight)


HALF_OPEN = policies(
    "x",
    BreakerConfig(
        min_calls=1, half_open_permits=1, half_open_max_wait_s=1, failure_rate=1.0
    ),
)


@pytest.fixture
def live():
    """The address of a stream of one message that fails once it is let go."""
    gate = threading.Event()

    def go(_request, context):
        yield b"one"
        gate.wait(10)
        context.abort(grpc.StatusCode.UNAVAILABLE, "let go")

    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((_generic("unary_stream", go),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield SimpleNamespace(address=f"127.0.0.1:{port}", let_go=gate.set)
    gate.set()
    server.stop(0).wait(5)


def _half_open(interceptor, method):
    breaker = interceptor.chain.slot(method).breaker
    breaker.open()
    breaker.half_open()
    return breaker


CLOSED = [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


async def test_a_streams_first_message_is_its_trials_success(live):
    """A stream that delivers closes the breaker; its later failure is no new trial."""
    listener = RecordingListener()
    interceptors = resilience.aio_client_interceptors(HALF_OPEN, listener=listener)
    breaker = _half_open(interceptors[0], b"/h.Hop/Go")
    async with aio.insecure_channel(live.address, interceptors=interceptors) as channel:
        call = channel.unary_stream("/h.Hop/Go")(b"q")
        assert b"one" == await call.read()
        assert "closed" == breaker.state

        live.let_go()
        assert grpc.StatusCode.UNAVAILABLE is await call.code()
    assert (CLOSED, 0) == (listener.transitions(), breaker.metrics().calls)


def test_a_blocking_streams_first_message_is_its_trials_success(live):
    """A stream that delivers closes the breaker; its later failure is no new trial."""
    listener = RecordingListener()
    interceptors = resilience.client_interceptors(HALF_OPEN, listener=listener)
    breaker = _half_open(interceptors[0], "/h.Hop/Go")
    with grpc.insecure_channel(live.address) as raw:
        channel = grpc.intercept_channel(raw, *interceptors)
        call = channel.unary_stream("/h.Hop/Go")(b"q")
        assert b"one" == next(call)
        assert "closed" == breaker.state

        live.let_go()
        with pytest.raises(grpc.RpcError, match="let go"):
            next(call)
    assert (CLOSED, 0) == (listener.transitions(), breaker.metrics().calls)
