"""Handlers of every kind that grpc.aio serves, and statuses given as numbers."""

import asyncio

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from observability import names
from observability.grpc import aio_server_interceptors


def blocking(request, context):
    if request == b"abort":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing", (("k", "v"),))
    if request == b"raise":
        raise ValueError("a bug")
    return b"ok"


def blocking_stream(request, context):
    for number in range(3):
        yield b"%d" % number
        if request == b"abort":
            context.abort(grpc.StatusCode.UNAVAILABLE, "enough")


def lazy(_request, _context):
    yield trace.get_current_span().name.encode()
    yield trace.get_current_span().name.encode()


def iterator(_request, _context):
    return iter([b"x", b"y"])


def blocking_upload(requests, _context):
    return b"".join(requests)


async def by_number(request, context):
    if request == b"abort":
        await context.abort(5, "no such thing")
    context.set_code(9)
    context.set_details("not now")


UNARY, STREAM, UPLOAD = (
    grpc.unary_unary_rpc_method_handler,
    grpc.unary_stream_rpc_method_handler,
    grpc.stream_unary_rpc_method_handler,
)
HANDLERS = {
    "U": UNARY(blocking),
    "S": STREAM(blocking_stream),
    "Lazy": STREAM(lazy),
    "Iterator": STREAM(iterator),
    "Up": UPLOAD(blocking_upload),
    "Number": UNARY(by_number),
}


@pytest.fixture
def finished():
    return InMemorySpanExporter()


@pytest.fixture
async def channel(finished):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    server = grpc.aio.server(interceptors=aio_server_interceptors(provider))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("t.T", HANDLERS),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@pytest.fixture
def span(finished):
    """Wait for the one span to end."""

    async def wait():
        async with asyncio.timeout(5):
            # A list of finished spans tells nobody that it grew.
            while not finished.get_finished_spans():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (found,) = finished.get_finished_spans()
        return found

    return wait


async def test_a_blocking_handler_answers(channel, span):
    """A plain function is served in a thread, as grpc.aio does it, and has its span."""
    assert b"ok" == await channel.unary_unary("/t.T/U")(b"", timeout=5)
    assert "OK" == (await span()).attributes[names.RPC_STATUS]


async def test_a_blocking_upload_answers(channel, span):
    """A plain function reads its requests as an iterator."""
    call = channel.stream_unary("/t.T/Up")(iter([b"a", b"b"]), timeout=5)
    assert b"ab" == await call
    assert "OK" == (await span()).attributes[names.RPC_STATUS]


async def test_a_blocking_handlers_abort_is_its_status(channel, span):
    """The caller and the span get the status, the text and the trailers."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary("/t.T/U")(b"abort", timeout=5)
    found = await span()

    assert grpc.StatusCode.NOT_FOUND is raised.value.code()
    assert "no such thing" == raised.value.details()
    assert ("k", "v") in tuple(raised.value.trailing_metadata())
    assert "NOT_FOUND" == found.attributes[names.RPC_STATUS]
    assert () == found.events


async def test_a_blocking_handlers_bug_is_recorded(channel, span):
    """What a plain function raises is UNKNOWN, with its stack trace on the span."""
    with pytest.raises(grpc.aio.AioRpcError):
        await channel.unary_unary("/t.T/U")(b"raise", timeout=5)
    found = await span()

    assert "UNKNOWN" == found.attributes[names.RPC_STATUS]
    assert ["exception"] == [event.name for event in found.events]


@pytest.mark.parametrize(
    ("method", "messages"),
    [
        ("S", [b"0", b"1", b"2"]),
        ("Lazy", [b"t.T/Lazy"] * 2),
        ("Iterator", [b"x", b"y"]),
    ],
)
async def test_a_blocking_stream_is_one_span(channel, span, caplog, method, messages):
    """Each message is made inside the span, in whatever thread that is."""
    call = channel.unary_stream(f"/t.T/{method}")(b"", timeout=5)

    assert messages == [message async for message in call]
    assert "OK" == (await span()).attributes[names.RPC_STATUS]
    assert "" == caplog.text


async def test_a_blocking_stream_that_aborts_tells_why(channel, span):
    """An abort after a message is the status on the span."""
    # grpc.aio itself may leave the caller of such a stream to its deadline.
    call = channel.unary_stream("/t.T/S")(b"abort", timeout=1)
    with pytest.raises(grpc.aio.AioRpcError):
        [message async for message in call]

    assert "UNAVAILABLE" == (await span()).attributes[names.RPC_STATUS]


@pytest.mark.parametrize(
    ("request_", "status"), [(b"abort", "NOT_FOUND"), (b"", "FAILED_PRECONDITION")]
)
async def test_a_status_may_be_given_as_its_number(channel, span, request_, status):
    """As grpc.aio takes them: 5 is NOT_FOUND for the caller and on the span."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary("/t.T/Number")(request_, timeout=5)

    assert grpc.StatusCode[status] is raised.value.code()
    assert status == (await span()).attributes[names.RPC_STATUS]
