"""Servers and clients on the loopback, closed when the test ends."""

from contextlib import AsyncExitStack
from types import SimpleNamespace

import grpc
import pytest
from grpc import aio

import resilience
from resilience import ServerPolicy


@pytest.fixture
async def hops():
    """serve, dial, leaf, relay and roots, sharing one stack of things to close."""
    async with AsyncExitStack() as stack:

        async def serve(behaviour, policy=None):
            return await _serve(stack, behaviour, policy)

        async def dial(address, policy, **options):
            return await _dial(stack, address, policy, **options)

        async def leaf(script, calls=None):
            return await _leaf(stack, script, calls)

        yield SimpleNamespace(
            serve=serve, dial=dial, leaf=leaf, relay=_relay, roots=_roots
        )


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


async def _roots(stub, count):
    for _ in range(count):
        with pytest.raises(aio.AioRpcError):
            await stub(b"", timeout=10)
