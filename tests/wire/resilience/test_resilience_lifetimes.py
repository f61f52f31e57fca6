"""Streams that live long, over the wire: nobody takes that for load or for silence."""

import asyncio
from concurrent import futures

import grpc
import pytest
from grpc import aio

import resilience
from resilience import AIMDConfig, LimitConfig, ServerPolicy
from resilience.testing import FakeClock

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
