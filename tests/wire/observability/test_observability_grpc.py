"""Spans of real calls: every end of a call ends its span, with its true status."""

import asyncio
import contextlib

import grpc
import pytest
from google.rpc import status_pb2
from grpc_status import rpc_status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest

import resilience
from observability import names
from observability.grpc import (
    aio_client_interceptors,
    aio_server_interceptors,
)
from observability.metrics import Metrics
from resilience.contrib.opentelemetry import AttemptSpans, SpanEvents

UNARY, STREAM, UPLOAD, CHAT = (f"/test.Echo/{n}" for n in ("U", "S", "Up", "Chat"))


async def unary(request, context):
    match request:
        case b"abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        case b"rich":
            status = status_pb2.Status(code=9, message="not now")
            await context.abort_with_status(rpc_status.to_status(status))
        case b"set":
            context.set_code(grpc.StatusCode.INTERNAL)
            context.set_details("broken")
        case b"raise":
            raise ValueError("a bug")
        case b"sleep":
            await asyncio.sleep(30)
        case b"refuse":
            trailers = ((names.REFUSAL_TRAILER, "bulkhead"),)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", trailers)
    return b"ok"


async def stream(request, context):
    for number in range(100):
        yield str(number).encode()
        if request == b"slow":
            await asyncio.sleep(0.05)
        if request == b"abort" and number == 2:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "enough")


async def writing(request, context):
    for _ in range(3):
        await context.write(b"w")


async def upload(requests, context):
    return b"".join([part async for part in requests])


async def chat(requests, context):
    async for part in requests:
        yield part


class Flaky:
    """Fails as often as it is told to, then answers."""

    def __init__(self) -> None:
        self.failures = 0

    async def __call__(self, request, context):
        if self.failures:
            self.failures -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "again")
        return b"ok"


@pytest.fixture
def finished():
    return InMemorySpanExporter()


@pytest.fixture
def provider(finished):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    return provider


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def flaky():
    return Flaky()


@pytest.fixture
async def address(provider, metrics, flaky):
    server = grpc.aio.server(interceptors=aio_server_interceptors(provider, metrics))
    handlers = {
        "U": grpc.unary_unary_rpc_method_handler(unary),
        "Flaky": grpc.unary_unary_rpc_method_handler(flaky),
        "S": grpc.unary_stream_rpc_method_handler(stream),
        "W": grpc.unary_stream_rpc_method_handler(writing),
        "Up": grpc.stream_unary_rpc_method_handler(upload),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    health = {"Check": grpc.unary_unary_rpc_method_handler(unary)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("test.Echo", handlers),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def channel(address, provider):
    interceptors = aio_client_interceptors(provider)
    async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
        yield channel


@pytest.fixture
def spans(finished):
    """Wait for spans to end; return them as {kind: span}."""

    async def wait(count: int = 2):
        async with asyncio.timeout(5):
            # A list of finished spans tells nobody that it grew.
            while len(finished.get_finished_spans()) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return {span.kind.name: span for span in finished.get_finished_spans()}

    return wait


@pytest.mark.parametrize(
    ("request_", "within", "client", "server", "error"),
    [
        (b"", 5, "OK", "OK", False),
        (b"abort", 5, "NOT_FOUND", "NOT_FOUND", False),
        (b"rich", 5, "FAILED_PRECONDITION", "FAILED_PRECONDITION", False),
        (b"set", 5, "INTERNAL", "INTERNAL", True),
        (b"raise", 5, "UNKNOWN", "UNKNOWN", True),
        (b"sleep", 0.1, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", True),
    ],
)
async def test_both_sides_tell_the_true_status(
    channel, spans, request_, within, client, server, error
):
    """However a handler ends, both spans end and carry its status, old and new."""
    with contextlib.suppress(grpc.RpcError):
        await channel.unary_unary(UNARY)(request_, timeout=within)
    found = await spans()

    assert found["CLIENT"].attributes[names.RPC_STATUS] == client
    assert found["SERVER"].attributes[names.RPC_STATUS] == server
    number = grpc.StatusCode[client].value[0]
    assert found["CLIENT"].attributes[names.OLD_RPC_STATUS] == number
    assert found["CLIENT"].status.is_ok is (client == "OK")
    assert found["SERVER"].status.is_ok is not error
    assert found["SERVER"].parent.span_id == found["CLIENT"].context.span_id
    for span in found.values():
        assert span.name == span.attributes[names.RPC_METHOD] == "test.Echo/U"
        assert span.attributes[names.OLD_RPC_SERVICE] == "test.Echo"


async def test_the_server_notes_the_time_it_was_given(channel, spans):
    """The deadline at arrival is on the server's span; without one, nothing is."""
    await channel.unary_unary(UNARY)(b"", timeout=3)
    found = await spans()

    assert 2000 < found["SERVER"].attributes[names.DEADLINE_REMAINING_MS] <= 3100


async def test_a_call_its_caller_gives_up_ends_its_spans(channel, spans):
    """A cancelled caller leaves no span open on either side."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(channel.unary_unary(UNARY)(b"sleep"), 0.1)
    found = await spans()

    assert found["CLIENT"].attributes[names.RPC_STATUS] == "CANCELLED"
    assert found["SERVER"].attributes[names.RPC_STATUS] == "CANCELLED"
    assert found["SERVER"].attributes[names.CANCELLED_BY] == "caller"


async def test_a_refusal_of_the_callee_is_told_apart(channel, spans):
    """A refusal by a policy shows on the caller's span from the trailer."""
    with pytest.raises(grpc.RpcError):
        await channel.unary_unary(UNARY)(b"refuse")

    assert (await spans())["CLIENT"].attributes[names.REFUSAL] == "bulkhead"


async def test_an_exception_is_recorded_once_and_an_abort_never(channel, spans):
    """A bug keeps its stack trace; a refusal is no bug."""
    with contextlib.suppress(grpc.RpcError):
        await channel.unary_unary(UNARY)(b"raise")
    events = (await spans())["SERVER"].events

    assert [event.name for event in events] == ["exception"]


@pytest.mark.parametrize("method", [STREAM, "/test.Echo/W"])
async def test_a_stream_read_to_its_end_is_one_span(channel, spans, method):
    """A stream's span lasts from the call to the last message."""
    call = channel.unary_stream(method)(b"")
    read = [part async for part in call]
    found = await spans()

    assert len(read) in {3, 100}
    assert await call.code() is grpc.StatusCode.OK
    assert found["CLIENT"].attributes[names.RPC_STATUS] == "OK"
    assert found["SERVER"].attributes[names.RPC_STATUS] == "OK"


async def test_a_stream_left_early_ends_its_spans(channel, spans):
    """Whoever stops reading and cancels leaves no span open."""
    call = channel.unary_stream(STREAM)(b"slow")
    async for _ in call:
        break
    call.cancel()
    found = await spans()

    assert found["CLIENT"].attributes[names.RPC_STATUS] == "CANCELLED"
    assert found["SERVER"].attributes[names.RPC_STATUS] == "CANCELLED"


async def test_a_stream_that_fails_half_way_tells_why(channel, spans):
    """An abort after some messages is the stream's status."""
    call = channel.unary_stream(STREAM)(b"abort")
    with pytest.raises(grpc.RpcError):
        [part async for part in call]
    found = await spans()

    assert found["CLIENT"].attributes[names.RPC_STATUS] == "UNAVAILABLE"
    assert found["SERVER"].attributes[names.RPC_STATUS] == "UNAVAILABLE"


async def test_requests_may_be_streams_too(channel, spans):
    """Uploads and chats work through the interceptors, written or iterated."""
    parts = [b"a", b"b"]
    assert await channel.stream_unary(UPLOAD)(iter(parts)) == b"ab"
    chat_call = channel.stream_stream(CHAT)()
    await chat_call.write(b"x")
    assert await chat_call.read() == b"x"
    await chat_call.done_writing()
    assert await chat_call.read() is grpc.aio.EOF
    await spans(4)


async def test_an_upload_can_be_written_and_its_spans_end_with_it(channel, spans):
    """write() does not wait for the call's end, and the spans tell how that was."""
    call = channel.stream_unary(UPLOAD)()
    async with asyncio.timeout(5):
        await call.write(b"a")
        await call.write(b"b")
        await call.done_writing()
        assert await call == b"ab"
    found = await spans()

    assert found["CLIENT"].attributes[names.RPC_STATUS] == "OK"
    assert found["SERVER"].parent.span_id == found["CLIENT"].context.span_id


async def test_an_upload_given_up_ends_its_span(channel, spans):
    """A caller that cancels between two parts leaves its span ended."""
    call = channel.stream_unary(UPLOAD)()
    async with asyncio.timeout(5):
        await call.write(b"a")
    call.cancel()
    found = await spans(1)

    assert found["CLIENT"].attributes[names.RPC_STATUS] == "CANCELLED"


async def test_health_checks_leave_no_spans(channel, finished, metrics):
    """Probes every few seconds would drown what matters."""
    await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")

    assert finished.get_finished_spans() == ()
    assert "health" not in generate_latest(metrics.registry).decode()


async def test_requests_show_in_the_metrics(channel, spans, metrics):
    """RED metrics are taken at the same place, by the same status."""
    await channel.unary_unary(UNARY)(b"")
    with pytest.raises(grpc.RpcError):
        await channel.unary_unary(UNARY)(b"rich")
    await spans(4)
    shown = generate_latest(metrics.registry).decode()

    assert 'total{code="OK",method="test.Echo/U"} 1.0' in shown
    assert 'total{code="FAILED_PRECONDITION",method="test.Echo/U"} 1.0' in shown


async def test_retries_are_attempts_inside_one_call(
    address, provider, flaky, spans, finished
):
    """One logical span, an attempt span each, and the server's span below its own."""
    flaky.failures = 2
    tracer = provider.get_tracer("test")
    policy = resilience.ClientPolicy(
        target="echo@eu", retry=resilience.RetryConfig(attempts=3, backoff_s=0.001)
    )
    interceptors = [
        *aio_client_interceptors(provider),
        *resilience.aio_client_interceptors(
            policy, listener=SpanEvents(tracer), observer=AttemptSpans(tracer)
        ),
    ]
    async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
        assert await channel.unary_unary("/test.Echo/Flaky")(b"", timeout=5) == b"ok"
    await spans(7)
    found = finished.get_finished_spans()

    (call,) = [span for span in found if span.parent is None]
    attempts = [span for span in found if span.name == names.SPAN_ATTEMPT]
    served = [span for span in found if span.kind.name == "SERVER"]
    assert call.attributes[names.RPC_STATUS] == "OK"
    assert [span.parent.span_id for span in attempts] == [call.context.span_id] * 3
    assert [span.attributes[names.PREVIOUS_ATTEMPTS] for span in attempts] == [0, 1, 2]
    assert [span.attributes[names.RPC_STATUS] for span in attempts] == [
        "UNAVAILABLE",
        "UNAVAILABLE",
        "OK",
    ]
    assert {span.parent.span_id for span in served} == {
        span.context.span_id for span in attempts
    }
    assert [event.name for event in call.events] == [names.EVENT_RETRY_SCHEDULED] * 2
