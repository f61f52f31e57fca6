"""The load report on the wire: whatever a handler does, its answer carries it."""

import contextlib
from concurrent import futures
from contextlib import AsyncExitStack

import grpc
import pytest
from grpc import aio

import resilience
from resilience.native import (
    LoadReporter,
    WeightedRoundRobin,
    aio_load_interceptor,
    channel_options,
    limit_utilization,
    load_interceptor,
    service_config,
)
from resilience.server_handlers import rebuild
from resilience.testing import Script, aio_scripted_server, scripted_server

pytestmark = pytest.mark.resilience

TRAILER = "endpoint-load-metrics-bin"


class _Spy(grpc.ServerInterceptor):
    """Keeps the trailers that are sent; gRPC's client takes the report out of them."""

    def __init__(self):
        self.sent = ()

    def intercept_service(self, continuation, handler_call_details):
        def around(behaviour):
            return lambda request, context: behaviour(request, Context(context))

        spy = self

        class Context:
            def __init__(self, context):
                self._context = context

            def __getattr__(self, name):
                return getattr(self._context, name)

            def set_trailing_metadata(self, metadata):
                spy.sent = metadata
                self._context.set_trailing_metadata(metadata)

        return rebuild(continuation(handler_call_details), around)


def _handler(behaviour, kind="unary_unary"):
    build = getattr(grpc, f"{kind}_rpc_method_handler")
    return grpc.method_handlers_generic_handler("t.T", {"Go": build(behaviour)})


class _BlockingServer:
    def __init__(self, behaviour, interceptors, kind="unary_unary"):
        self.pool = futures.ThreadPoolExecutor(4)
        self.server = grpc.server(self.pool, interceptors=interceptors)
        self.server.add_generic_rpc_handlers((_handler(behaviour, kind),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def __enter__(self):
        self.server.start()
        return f"127.0.0.1:{self.port}"

    def __exit__(self, *_):
        self.server.stop(0).wait(5)
        self.pool.shutdown()


def _raises(_request, _context):
    raise RuntimeError("a bug")


def _raises_in_stream(_request, _context):
    yield b"one"
    raise RuntimeError("a bug")


def _sets_ok(_request, context):
    context.set_code(grpc.StatusCode.OK)
    return b""


def _sets(code):
    def handler(_request, context):
        context.set_trailing_metadata((("own", "x"),))
        context.set_code(code)
        return b""

    return handler


def _aborts(code):
    def handler(_request, context):
        context.set_trailing_metadata((("own", "x"),))
        context.abort(code, "no")

    return handler


# behaviour, kind, own trailers, counted as an error
CASES = {
    "raises": (_raises, "unary_unary", False, True),
    "raises midway": (_raises_in_stream, "unary_stream", False, True),
    "sets OK": (_sets_ok, "unary_unary", False, False),
    "sets INTERNAL": (_sets(grpc.StatusCode.INTERNAL), "unary_unary", True, True),
    "sets NOT_FOUND": (_sets(grpc.StatusCode.NOT_FOUND), "unary_unary", True, False),
    "aborts": (_aborts(grpc.StatusCode.UNAVAILABLE), "unary_unary", True, True),
    "refuses": (_aborts(grpc.StatusCode.NOT_FOUND), "unary_unary", True, False),
}


def _ask(address, kind):
    with grpc.insecure_channel(address) as channel:
        stub = getattr(channel, kind)("/t.T/Go")
        try:
            answer = stub(b"", timeout=10)
            if kind == "unary_stream":
                list(answer)
        except grpc.RpcError as error:
            return error.trailing_metadata()
    return ()


@pytest.mark.parametrize("case", CASES)
def test_a_blocking_server_reports_whatever_a_handler_does(case):
    """Raised, set or aborted: one answer, counted once, with its own trailers."""
    behaviour, kind, own, wrong = CASES[case]
    reporter, spy = LoadReporter(lambda: 0.5), _Spy()
    with _BlockingServer(behaviour, [spy, load_interceptor(reporter)], kind) as address:
        _ask(address, kind)

    names = [name for name, _ in spy.sent]
    assert (["own"] if own else []) + [TRAILER] == names
    assert (1, int(wrong)) == (reporter._requests, reporter._errors)


@pytest.mark.parametrize("case", CASES)
async def test_blocking_handlers_under_grpc_aio_report_too(case):
    """grpc.aio runs a plain function in a thread, with a context of another shape."""
    behaviour, kind, own, wrong = CASES[case]
    reporter, seen = LoadReporter(lambda: 0.5), []

    def spied(request, context):
        set_trailers = context.set_trailing_metadata

        class Context:
            def __getattr__(self, name):
                return getattr(context, name)

            def set_trailing_metadata(self, metadata):
                seen.append(tuple(metadata))
                set_trailers(metadata)

        return Context()

    class Spy(aio.ServerInterceptor):
        async def intercept_service(self, continuation, handler_call_details):
            return rebuild(
                await continuation(handler_call_details),
                lambda inner: (
                    lambda request, context: inner(request, spied(request, context))
                ),
            )

    with futures.ThreadPoolExecutor(2) as pool:
        server = aio.server(pool, interceptors=[Spy(), aio_load_interceptor(reporter)])
        server.add_generic_rpc_handlers((_handler(behaviour, kind),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = getattr(channel, kind)("/t.T/Go")(b"", timeout=10)
            with contextlib.suppress(aio.AioRpcError):
                if kind == "unary_stream":
                    assert [b"one"] == [message async for message in call]
            assert (await call.code() is grpc.StatusCode.OK) == (case == "sets OK")
        await server.stop(0)

    names = [name for name, _ in seen[-1]]
    assert (["own"] if own else []) + [TRAILER] == names
    assert (1, int(wrong)) == (reporter._requests, reporter._errors)


async def _aio_raises(_request, context):
    context.set_trailing_metadata((("own", "x"),))
    raise RuntimeError("a bug")


async def _aio_sets(_request, context):
    context.set_code(grpc.StatusCode.INTERNAL)
    return b""


async def _aio_refuses(_request, context):
    await context.abort(grpc.StatusCode.NOT_FOUND, "no", (("own", "x"),))


@pytest.mark.parametrize(
    ("behaviour", "wrong", "own"),
    [(_aio_raises, 1, "x"), (_aio_sets, 1, None), (_aio_refuses, 0, "x")],
)
async def test_an_aio_server_reports_whatever_a_handler_does(behaviour, wrong, own):
    """The same for coroutines; the handler's own trailers reach the caller."""
    reporter = LoadReporter(lambda: 0.5)
    server = aio.server(interceptors=[aio_load_interceptor(reporter)])
    server.add_generic_rpc_handlers((_handler(behaviour),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/t.T/Go")(b"", timeout=10)
        trailers = dict(await call.trailing_metadata())
    await server.stop(0)

    assert own == trailers.get("own")
    assert (1, wrong) == (reporter._requests, reporter._errors)


def test_a_gauge_that_raises_fails_no_call(caplog):
    """The call is answered without a report, and the log says why."""

    def broken():
        raise OSError("no such gauge")

    reporter = LoadReporter(broken)
    scripts = {"/t.T/Go": Script([b"x"])}
    with (
        scripted_server(scripts, interceptors=[load_interceptor(reporter)]) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        assert b"x" == channel.unary_unary("/t.T/Go")(b"", timeout=10)

    assert "no load was reported" in caplog.text


async def test_refusals_of_the_chain_carry_the_load():
    """Before the chain in the list, the report goes out with what the chain refuses."""
    policy = resilience.ServerPolicy(max_concurrent=1)
    chain = resilience.aio_server_interceptor(policy)
    chain.admission.in_flight = 1
    reporter = LoadReporter(limit_utilization(chain, most=1))
    scripts = {"/t.T/Go": Script([b"x"])}
    async with (
        aio_scripted_server(
            scripts, interceptors=[aio_load_interceptor(reporter), chain]
        ) as server,
        aio.insecure_channel(server.address) as channel,
    ):
        call = channel.unary_unary("/t.T/Go")(b"", timeout=10)
        assert grpc.StatusCode.RESOURCE_EXHAUSTED is await call.code()
        assert "limit" == dict(await call.trailing_metadata())["x-seawall-refusal"]

    assert (1, 1) == (reporter._requests, reporter._errors)


async def test_errors_cost_weight():
    """gRFC A58: at one utilisation, errors times their penalty take the share down."""

    async def bad(_request, _context):
        raise RuntimeError("a bug")

    async def good(_request, _context):
        return b"good"

    async with AsyncExitStack() as stack:
        addresses = []
        for behaviour in (bad, good):
            reporter = LoadReporter(lambda: 0.5)
            server = aio.server(interceptors=[aio_load_interceptor(reporter)])
            server.add_generic_rpc_handlers((_handler(behaviour),))
            addresses.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
            await server.start()
            stack.push_async_callback(server.stop, 0)
        config = service_config(
            balancing=WeightedRoundRobin(
                blackout_s=0.01, update_s=0.1, error_penalty=4.0
            )
        )
        channel = await stack.enter_async_context(
            aio.insecure_channel(
                "ipv4:" + ",".join(addresses), options=channel_options(config)
            )
        )
        stub = channel.unary_unary("/t.T/Go")
        for _ in range(60):
            failed = 0
            for _ in range(50):
                call = stub(b"", wait_for_ready=True, timeout=10)
                failed += await call.code() is not grpc.StatusCode.OK
            # 0.5 + 4 x 1 against 0.5: one in ten.
            if failed <= 8:
                break

    assert 2 <= failed <= 8
