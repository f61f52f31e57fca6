"""Streams of responses: counted, begun anew while nothing came, answered otherwise."""

import asyncio
import threading
import time
from concurrent import futures
from contextlib import ExitStack

import grpc
import pytest
from grpc import aio
from grpc.experimental import ChannelOptions

import resilience
from resilience import BudgetConfig, ClientPolicy, FallbackConfig, RetryConfig
from resilience.testing import RecordingListener, RecordingObserver, Script

pytestmark = pytest.mark.resilience

RETRY = RetryConfig(attempts=3, backoff_s=0.001, backoff_max_s=0.001)
POLICY = ClientPolicy(target="leaf", retry=RETRY, timeout_s=5)


def _handlers(script, behaviour=None):
    """A blocking handler: a step is a status, messages, or messages and a status."""

    def go(_request, context):
        step = script.next()
        for item in step if isinstance(step, list) else [step]:
            if isinstance(item, str):
                context.abort(grpc.StatusCode[item], "scripted")
            yield item

    return grpc.method_handlers_generic_handler(
        "h.Hop", {"Go": grpc.unary_stream_rpc_method_handler(behaviour or go)}
    )


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def _server(stack, script, behaviour=None):
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((_handlers(script, behaviour),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stack.callback(lambda: server.stop(0).wait(5))
    return f"127.0.0.1:{port}"


class Aio:
    """The stream read with grpc.aio, in a loop of its own."""

    def __init__(self, stack, address, policy):
        self.observer = RecordingObserver()
        self.address, self.policy = address, policy

    def read(self, how="iterate"):
        return asyncio.run(self._read(how))

    async def _read(self, how):
        interceptors = resilience.aio_client_interceptors(
            self.policy, observer=self.observer
        )
        async with aio.insecure_channel(
            self.address, interceptors=interceptors
        ) as channel:
            call = channel.unary_stream("/h.Hop/Go")(b"q")
            found = []
            try:
                if how == "iterate":
                    async for message in call:
                        found.append(message)  # noqa: PERF401  # kept on an error
                elif how == "read":
                    while (message := await call.read()) is not aio.EOF:
                        found.append(message)
            except aio.AioRpcError as error:
                found.append(error.code().name)
            self.code = (await call.code()).name
            self.trailers = dict(await call.trailing_metadata())
            return found


class Sync:
    """The stream read with blocking grpc."""

    def __init__(self, stack, address, policy):
        self.observer = RecordingObserver()
        interceptors = resilience.client_interceptors(policy, observer=self.observer)
        channel = stack.enter_context(grpc.insecure_channel(address))
        self.channel = grpc.intercept_channel(channel, *interceptors)

    def read(self, how="iterate"):
        call = self.channel.unary_stream("/h.Hop/Go")(b"q")
        found = []
        try:
            found.extend(call)
        except grpc.RpcError as error:
            found.append(error.code().name)
        self.code = call.code().name
        self.trailers = dict(call.trailing_metadata())
        return found


@pytest.fixture(params=[Aio, Sync], ids=["aio", "sync"])
def client(request, stack):
    """client(script, policy): one stream over the wire, either way."""

    def make(steps, policy=POLICY):
        script = Script(steps)
        made = request.param(stack, _server(stack, script), policy)
        made.script = script
        return made

    return make


def _outcomes(client):
    # Blocking grpc tells of an end on a thread of its own.
    for _ in range(1000):
        if all(attempt.outcomes for attempt in client.observer.attempts):
            break
        time.sleep(0.005)
    return [
        (attempt.outcome.code, attempt.outcome.messages_seen)
        for attempt in client.observer.attempts
    ]


def test_a_stream_that_fails_at_once_is_begun_anew(client):
    """Nothing was seen, so the caller sees one good stream."""
    made = client(["UNAVAILABLE", "UNAVAILABLE", [b"a", b"b"]])

    assert [b"a", b"b"] == made.read()
    assert "OK" == made.code
    expected = [("UNAVAILABLE", 0), ("UNAVAILABLE", 0), ("OK", 2)]
    assert expected == _outcomes(made)
    assert ("grpc-previous-rpc-attempts", "2") in made.observer.attempts[2].metadata


def test_read_is_begun_anew_as_well(stack):
    """read() sees what iterating sees."""
    script = Script(["UNAVAILABLE", [b"a"]])
    made = Aio(stack, _server(stack, script), POLICY)

    assert [b"a"] == made.read("read")


def test_the_code_alone_is_the_last_attempts(stack):
    """Whoever only asks for the status gets that of the attempt that counts."""
    script = Script(["UNAVAILABLE", []])
    made = Aio(stack, _server(stack, script), POLICY)

    assert [] == made.read("ask")
    assert "OK" == made.code


def test_a_stream_is_committed_once_a_message_was_seen(client):
    """gRFC A6: after the first response a failure is the caller's."""
    made = client([[b"a", "UNAVAILABLE"], [b"never"]])

    assert [b"a", "UNAVAILABLE"] == made.read()
    assert [("UNAVAILABLE", 1)] == _outcomes(made)
    assert "UNAVAILABLE" == made.code


@pytest.mark.parametrize("single", [0, 1])
def test_a_blocking_stream_is_committed_once_its_headers_were_seen(stack, single):
    """gRFC A6: headers commit a call; its caller may have read them already."""
    script = Script(["UNAVAILABLE"])

    def go(_request, context):
        context.send_initial_metadata((("session", str(script.total)),))
        context.abort(grpc.StatusCode[script.next()], "scripted")

    address = _server(stack, script, go)
    options = ((ChannelOptions.SingleThreadedUnaryStream, single),)
    raw = stack.enter_context(grpc.insecure_channel(address, options))
    channel = grpc.intercept_channel(raw, *resilience.client_interceptors(POLICY))
    call = channel.unary_stream("/h.Hop/Go")(b"q")
    assert ("session", "0") in tuple(call.initial_metadata())

    with pytest.raises(grpc.RpcError, match="scripted"):
        next(call)
    assert 1 == script.total
    assert ("session", "0") in tuple(call.initial_metadata())


def test_attempts_run_out(client):
    """Three attempts, then the last failure; a budget ends it earlier."""
    made = client(["UNAVAILABLE"])
    assert ["UNAVAILABLE"] == made.read()
    assert 3 == made.script.total

    budget = BudgetConfig(max_tokens=2)
    made = client(
        ["UNAVAILABLE"], ClientPolicy(target="leaf", retry=RETRY, retry_budget=budget)
    )
    assert ["UNAVAILABLE"] == made.read()
    assert 1 == made.script.total


def test_a_fatal_status_is_not_tried_again(client):
    """A caller's own mistake is told at once."""
    made = client(["NOT_FOUND"])

    assert ["NOT_FOUND"] == made.read()
    assert 1 == made.script.total


def test_a_stream_can_have_a_second_best(client):
    """Messages stand in for a stream of which nothing came, after its attempts."""
    policy = ClientPolicy(
        target="leaf", retry=RETRY, fallback=FallbackConfig(value=[b"x", b"y"])
    )
    made = client(["UNAVAILABLE"], policy)

    assert [b"x", b"y"] == made.read()
    assert 3 == made.script.total
    assert "OK" == made.code
    assert "UNAVAILABLE" == made.trailers["x-seawall-fallback"]


def test_half_a_stream_is_not_completed_by_a_second_best(client):
    """Once a message was seen no fallback is mixed in."""
    policy = ClientPolicy(target="leaf", fallback=FallbackConfig(value=[b"x"]))
    made = client([[b"a", "UNAVAILABLE"]], policy)

    assert [b"a", "UNAVAILABLE"] == made.read()


async def test_cancelling_between_attempts_ends_the_call(hops):
    """A call that waits to be made again can be cancelled, and is over then."""
    with ExitStack() as stack:
        address = await asyncio.to_thread(_server, stack, Script(["UNAVAILABLE"]))
        slow = RetryConfig(attempts=3, backoff_s=30, backoff_max_s=30, jitter="none")
        observer = RecordingObserver()
        interceptors = resilience.aio_client_interceptors(
            ClientPolicy(target="leaf", retry=slow), observer=observer
        )
        async with aio.insecure_channel(address, interceptors=interceptors) as channel:
            call = channel.unary_stream("/h.Hop/Go")(b"q")
            reader = asyncio.ensure_future(call.read())
            for _ in range(1000):
                if observer.attempts and observer.attempts[0].outcomes:
                    break
                await asyncio.sleep(0.005)
            await asyncio.sleep(0)
            assert not call.done()
            assert call.cancel()

            with pytest.raises((aio.AioRpcError, asyncio.CancelledError)):
                await asyncio.wait_for(reader, 5)
            assert grpc.StatusCode.CANCELLED is await call.code()
            assert call.done()
        assert 1 == len(observer.attempts)
        await asyncio.to_thread(stack.close)


async def test_a_reader_cancelled_between_attempts_ends_the_call(hops):
    """Whoever gives up reading is not followed by more attempts, as with gRPC."""
    with ExitStack() as stack:
        script = Script(["UNAVAILABLE"])
        address = await asyncio.to_thread(_server, stack, script)
        slow = RetryConfig(attempts=3, backoff_s=30, backoff_max_s=30, jitter="none")
        listener = RecordingListener()
        interceptors = resilience.aio_client_interceptors(
            ClientPolicy(target="leaf", retry=slow), listener=listener
        )
        async with aio.insecure_channel(address, interceptors=interceptors) as channel:
            call = channel.unary_stream("/h.Hop/Go")(b"q")
            reader = asyncio.ensure_future(call.read())
            for _ in range(1000):
                if listener.events:
                    break
                await asyncio.sleep(0.005)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader

            assert call.cancelled()
            assert grpc.StatusCode.CANCELLED is await call.code()
        assert 1 == script.total
        await asyncio.to_thread(stack.close)


def test_no_thread_is_left_behind(client):
    """Reading, failing and beginning anew starts no threads of ours."""
    before = {thread.name for thread in threading.enumerate()}
    client(["UNAVAILABLE", [b"a"]]).read()
    ours = {
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("coalesced", "resilience"))
    }

    assert not ours - before
