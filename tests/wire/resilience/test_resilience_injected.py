"""Faults in real calls: their delays are of the call's time, and they all end."""

import asyncio
import time
from concurrent import futures

import grpc
import pytest
from grpc import aio

import resilience
from resilience import ClientPolicy, RetryConfig
from resilience.testing import (
    FaultConfig,
    RecordingListener,
    RecordingObserver,
    Script,
    Trailers,
    aio_client_faults,
    aio_scripted_server,
    aio_server_faults,
    assert_attempts,
    client_faults,
    scripted_server,
    server_faults,
)

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
METHODS = {f"/t.T/{kind}": kind for kind in KINDS}
LATE = grpc.StatusCode.DEADLINE_EXCEEDED


def _scripts(*messages):
    return {
        method: Script([list(messages) if kind.endswith("stream") else messages[0]])
        for method, kind in METHODS.items()
    }


async def _take(call, kind):
    if kind.endswith("stream"):
        return [message async for message in call]
    return [await call]


async def _keep(call, found):
    async for message in call:
        found.append(message)  # kept when the stream breaks


def _start(channel, kind, **options):
    stub = getattr(channel, kind)(f"/t.T/{kind}")
    return stub(iter([b"q"]) if kind.startswith("stream") else b"q", **options)


def _use(channel, kind, **options):
    answer = _start(channel, kind, **options)
    return list(answer) if kind.endswith("stream") else [answer]


async def _until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_clients_delay_ends_at_the_calls_deadline(kind):
    """A minute's delay of a call with 50 ms is 50 ms, and DEADLINE_EXCEEDED."""
    faults = aio_client_faults(FaultConfig(delay_s=60))
    async with (
        aio_scripted_server(_scripts(b"x"), kinds=METHODS) as server,
        aio.insecure_channel(server.address, interceptors=faults) as channel,
    ):
        begun = time.monotonic()
        call = _start(channel, kind, timeout=0.05)
        with pytest.raises(aio.AioRpcError) as raised:
            await _take(call, kind)

        assert time.monotonic() - begun < 30
        assert LATE is raised.value.code()
        assert 0 == server.calls(f"/t.T/{kind}")
    assert 0 == faults[0].faults.active


@pytest.mark.parametrize("kind", KINDS)
def test_a_blocking_clients_delay_ends_at_the_calls_deadline(kind):
    """The same, told by the sleep that the test brings."""
    slept = []
    with (
        scripted_server(_scripts(b"x"), kinds=METHODS) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        faulty = grpc.intercept_channel(
            channel, *client_faults(FaultConfig(delay_s=60), sleep=slept.append)
        )
        with pytest.raises(grpc.RpcError) as raised:
            _use(faulty, kind, timeout=0.5)

        assert LATE is raised.value.code()
        assert [0.5] == slept
        assert 0 == server.calls(f"/t.T/{kind}")


def test_a_delay_takes_from_the_time_that_the_server_gets():
    """Of a call's 60 seconds the server gets what a delay of 50 would leave."""
    slept = []
    with (
        scripted_server(_scripts(b"x"), kinds=METHODS) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        faulty = grpc.intercept_channel(
            channel, *client_faults(FaultConfig(delay_s=50), sleep=slept.append)
        )
        assert b"x" == _start(faulty, "unary_unary", timeout=60)
        assert b"x" == _start(channel, "unary_unary", timeout=60)
        delayed, plain = server.received("/t.T/unary_unary")

    assert [50] == slept
    assert delayed.remaining_s < 11
    assert plain.remaining_s > 40


async def test_attempts_below_a_policy_see_faults_as_the_networks():
    """The policy's own timeout ends a delayed attempt, and its retry gets through."""
    observer = RecordingObserver()
    policy = ClientPolicy(
        target="t",
        timeout_s=30,
        retry=RetryConfig(
            attempts=2, backoff_s=0.001, backoff_max_s=0.001, attempt_timeout_s=0.05
        ),
    )
    slow, told = FaultConfig(delay_s=20), []

    def once():
        told.append(1)
        return slow if len(told) == 1 else FaultConfig()

    interceptors = [
        *resilience.aio_client_interceptors(policy, observer=observer),
        *aio_client_faults(once),
    ]
    async with (
        aio_scripted_server({"/t.T/Go": Script([b"x"])}) as server,
        aio.insecure_channel(server.address, interceptors=interceptors) as channel,
    ):
        assert b"x" == await channel.unary_unary("/t.T/Go")(b"")

    assert_attempts(observer, ["DEADLINE_EXCEEDED", "OK"])


async def test_a_cancelled_call_gives_its_fault_back():
    """Client and server: who leaves during the delay is not counted any more."""
    client = aio_client_faults(FaultConfig(delay_s=60, methods=frozenset({"one"})))
    server_side = aio_server_faults(FaultConfig(delay_s=60))
    scripts = {"/t.T/one": Script([b"x"]), "/t.T/two": Script([b"x"])}
    async with (
        aio_scripted_server(scripts, interceptors=[server_side]) as server,
        aio.insecure_channel(server.address, interceptors=client) as channel,
    ):
        for faults, name in ((client[0].faults, "one"), (server_side.faults, "two")):
            call = channel.unary_unary(f"/t.T/{name}")(b"")
            await _until(lambda faults=faults: faults.active == 1)
            call.cancel()
            await _until(lambda faults=faults: faults.active == 0)


def test_a_call_that_died_in_the_queue_holds_no_fault():
    """One thread, one call in it: those that wait and die leave nothing active."""
    going, gate = futures.Future(), futures.Future()

    def wait(_seconds):
        going.set_result(None)
        gate.result(30)

    faults = server_faults(FaultConfig(delay_s=5), sleep=wait)
    with (
        scripted_server(
            {"/t.T/Go": Script([b"x"])}, interceptors=[faults], threads=1
        ) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = channel.unary_unary("/t.T/Go")
        first = stub.future(b"", timeout=30)
        going.result(30)
        for _ in range(5):
            with pytest.raises(grpc.RpcError):
                stub(b"", timeout=0.05)
        assert 1 == faults.faults.active
        gate.set_result(None)
        assert b"x" == first.result(30)

        assert 0 == faults.faults.active


@pytest.mark.parametrize("after", [0, 2, 9])
async def test_an_aio_servers_stream_breaks_midway(after):
    """The messages before the abort arrive; a shorter stream is aborted at its end."""
    fault = FaultConfig(abort="UNAVAILABLE", after_messages=after)
    async with (
        aio_scripted_server(
            _scripts(b"1", b"2", b"3"),
            kinds=METHODS,
            interceptors=[aio_server_faults(fault)],
        ) as server,
        aio.insecure_channel(server.address) as channel,
    ):
        found = []
        with pytest.raises(aio.AioRpcError) as raised:
            await _keep(_start(channel, "unary_stream"), found)

    assert [b"1", b"2", b"3"][:after] == found
    assert grpc.StatusCode.UNAVAILABLE is raised.value.code()


@pytest.mark.parametrize("after", [0, 2, 9])
def test_a_blocking_servers_stream_breaks_midway(after):
    """The same for blocking servers."""
    fault = FaultConfig(abort="UNAVAILABLE", after_messages=after)
    with (
        scripted_server(
            _scripts(b"1", b"2", b"3"),
            kinds=METHODS,
            interceptors=[server_faults(fault)],
        ) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        found = []
        with pytest.raises(grpc.RpcError) as raised:
            found.extend(iter(_start(channel, "stream_stream").__next__, None))

    assert [b"1", b"2", b"3"][:after] == found
    assert grpc.StatusCode.UNAVAILABLE is raised.value.code()


async def test_a_call_asks_a_server_for_its_fault():
    """By Envoy's metadata, of this call alone; the listener is told."""
    listener = RecordingListener()
    faults = aio_server_faults(FaultConfig(headers=True), listener=listener)
    async with (
        aio_scripted_server(
            _scripts(b"x"), kinds=METHODS, interceptors=[faults]
        ) as server,
        aio.insecure_channel(server.address) as channel,
    ):
        metadata = (("x-envoy-fault-abort-grpc-request", "8"),)
        with pytest.raises(aio.AioRpcError) as raised:
            await _start(channel, "unary_unary", metadata=metadata)
        assert b"x" == await _start(channel, "unary_unary")

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is raised.value.code()
    assert ["RESOURCE_EXHAUSTED"] == [event.code for event in listener.events]


async def test_blocking_handlers_under_grpc_aio_get_faults_too():
    """A plain function in a grpc.aio server is aborted as a coroutine is."""
    faults = aio_server_faults(FaultConfig(abort="ABORTED", methods=frozenset({"A"})))
    with futures.ThreadPoolExecutor(2) as pool:
        server = aio.server(pool, interceptors=[faults])
        build = grpc.unary_unary_rpc_method_handler
        handlers = {name: build(lambda _request, _context: b"x") for name in "AB"}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("t.T", handlers),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(aio.AioRpcError) as raised:
                await channel.unary_unary("/t.T/A")(b"")
            assert b"x" == await channel.unary_unary("/t.T/B")(b"")
        await server.stop(0)

    assert grpc.StatusCode.ABORTED is raised.value.code()


@pytest.mark.parametrize("wrong", [{"after_messages": 1}, {"headers": True}])
def test_what_only_servers_do_is_refused_at_clients(wrong):
    """Silence would leave a test without the fault that it counts on."""
    for make in (aio_client_faults, client_faults):
        with pytest.raises(ValueError, match="server"):
            make(FaultConfig(**wrong))


async def test_scripted_servers_keep_what_they_received():
    """Requests as the deserializer makes them, metadata, and the time that was left."""
    script = Script([Trailers((("own", "x"),), b"y")])
    async with (
        aio_scripted_server(
            {"/t.T/Go": script}, deserializers={"/t.T/Go": bytes.decode}
        ) as server,
        aio.insecure_channel(server.address) as channel,
    ):
        stub = channel.unary_unary("/t.T/Go")
        call = stub(b"hello", timeout=60, metadata=(("k", "v"),))
        assert b"y" == await call
        assert "x" == dict(await call.trailing_metadata())["own"]
        await stub(b"again")
        first, second = server.received("/t.T/Go")

    assert ("hello", "v") == (first.request, first.metadata["k"])
    assert 50 < first.remaining_s < 70
    assert second.remaining_s is None
    assert [] == server.received("/t.T/Other")


def test_blocking_scripted_servers_keep_it_too():
    """The same; without a deadline there is no time that was left."""
    scripts = {"/t.T/Go": Script([Trailers((("own", "x"),), "ABORTED")])}
    with (
        scripted_server(scripts) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary("/t.T/Go")(b"hello")
        (received,) = server.received("/t.T/Go")

    assert "x" == dict(raised.value.trailing_metadata())["own"]
    assert (b"hello", None) == (received.request, received.remaining_s)
