"""One outcome per attempt: the whole matrix of call kinds against real servers."""

import asyncio
import contextlib
import gc
import importlib.util
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc import aio

import resilience
from resilience import BreakerConfig, BulkheadConfig, ClientPolicy
from resilience.testing import RecordingObserver

pytestmark = pytest.mark.resilience

_spec = importlib.util.spec_from_file_location(
    "matrix", Path(__file__).with_name("matrix.py")
)
matrix = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(matrix)

POLICY = ClientPolicy(
    target="peer", breaker=BreakerConfig(), bulkhead=BulkheadConfig(limit=9)
)
PAGE = Path(__file__).parents[3] / "docs" / "resilience" / "call-kinds.md"


def _play(word, context):
    if word == "hang":
        over = threading.Event()
        if context.add_callback(over.set):
            over.wait(20)
    elif word != "ok":
        context.abort(grpc.StatusCode[word], "as asked")


def _one(request, context):
    _play(request.decode(), context)
    return b"answer"


def _many(request, context):
    yield b"first"
    _play(request.decode(), context)
    yield b"last"


@pytest.fixture(scope="module")
def address():
    pool = futures.ThreadPoolExecutor(16)
    server = grpc.server(pool)
    handlers = {
        "unary_unary": grpc.unary_unary_rpc_method_handler(_one),
        "unary_stream": grpc.unary_stream_rpc_method_handler(_many),
        "stream_unary": grpc.stream_unary_rpc_method_handler(
            lambda requests, context: _one(next(iter(requests)), context)
        ),
        "stream_stream": grpc.stream_stream_rpc_method_handler(
            lambda requests, context: _many(next(iter(requests)), context)
        ),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("m.M", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait(5)
    pool.shutdown()


class RaisedError(Exception):
    """What the tests' own interceptors raise."""


def _aio_raiser(kind, *, after):
    base = {
        "unary_unary": aio.UnaryUnaryClientInterceptor,
        "unary_stream": aio.UnaryStreamClientInterceptor,
        "stream_unary": aio.StreamUnaryClientInterceptor,
        "stream_stream": aio.StreamStreamClientInterceptor,
    }[kind]

    async def intercept(_self, continuation, details, request):
        if after:
            await continuation(details, request)
        raise RaisedError

    return type("Raiser", (base,), {f"intercept_{kind}": intercept})()


def _sync_raiser(kind, *, after):
    base = {
        "unary_unary": grpc.UnaryUnaryClientInterceptor,
        "unary_stream": grpc.UnaryStreamClientInterceptor,
        "stream_unary": grpc.StreamUnaryClientInterceptor,
        "stream_stream": grpc.StreamStreamClientInterceptor,
    }[kind]

    def intercept(_self, continuation, details, request):
        if after:
            continuation(details, request)
        raise RaisedError

    return type("Raiser", (base,), {f"intercept_{kind}": intercept})()


WORDS = {
    "the service fails": "UNAVAILABLE",
    "with_call() fails": "UNAVAILABLE",
    "future() fails": "UNAVAILABLE",
    "the caller asked wrongly": "NOT_FOUND",
    "the deadline passes": "hang",
    "cancel()": "hang",
    "the caller's task is cancelled": "hang",
    "the server cancels": "CANCELLED",
    "dropped half-read": "hang",
    "the channel is closed": "hang",
}
ERRORS = (grpc.RpcError, RaisedError, asyncio.CancelledError)


async def _aio(  # noqa: C901, PLR0915  # a branch for each row
    row, kind, address, observer
):
    """Make the call with grpc.aio, and end it in the row's way."""
    ours = resilience.aio_client_interceptors(POLICY, observer=observer)
    interceptors = list(ours)
    if row.way == "an interceptor above raises afterwards":
        interceptors.insert(0, _aio_raiser(kind, after=True))
    elif row.way == "an interceptor below raises":
        interceptors.append(_aio_raiser(kind, after=False))
    channel = aio.insecure_channel(address, interceptors=interceptors)
    word = WORDS.get(row.way, "ok").encode()
    streams = kind.endswith("stream")
    timeout = 0.1 if row.way == "the deadline passes" else 20
    stub = getattr(channel, kind)(f"/m.M/{kind}")

    def make():
        if row.way.startswith("write()"):
            return stub(timeout=timeout)
        return stub(
            iter([word]) if kind.startswith("stream") else word, timeout=timeout
        )

    async def consume(call):
        if row.way.startswith("write()"):
            await call.write(word)
            await call.done_writing()
        if row.way == "read()":
            while await call.read() is not aio.EOF:
                pass
        elif streams:
            async for _ in call:
                pass
        else:
            await call

    async def begun(call):
        """Wait until the call is on its way, or gave its first message."""
        if streams:
            await call.read()
        await _sent(observer)

    call = make()
    if row.way == "cancel()":
        await begun(call)
        call.cancel()
    elif row.way == "the caller's task is cancelled":
        task = asyncio.ensure_future(consume(call))
        await _sent(observer)
        task.cancel()
        await asyncio.wait((task,))
    elif row.way == "dropped half-read":
        await begun(call)
        del call
        gc.collect()
    elif row.way == "the channel is closed":
        await begun(call)
        await channel.close()
    else:
        with contextlib.suppress(ERRORS):
            await consume(call)
    await _told(observer)
    await channel.close()
    return ours


async def _sent(observer):
    for _ in range(2500):
        if observer.attempts:
            return
        await asyncio.sleep(0.002)


async def _told(observer):
    for _ in range(2500):
        if observer.attempts and all(a.outcomes for a in observer.attempts):
            return
        await asyncio.sleep(0.002)


def _sync(  # noqa: C901  # a branch for each row
    row, kind, address, observer
):
    """Make the call with blocking gRPC, and end it in the row's way."""
    ours = resilience.client_interceptors(POLICY, observer=observer)
    interceptors = list(ours)
    if row.way == "an interceptor above raises afterwards":
        interceptors.insert(0, _sync_raiser(kind, after=True))
    elif row.way == "an interceptor below raises":
        interceptors.append(_sync_raiser(kind, after=False))
    plain = grpc.insecure_channel(address)
    channel = grpc.intercept_channel(plain, *interceptors)
    word = WORDS.get(row.way, "ok").encode()
    streams = kind.endswith("stream")
    stub = getattr(channel, kind)(f"/m.M/{kind}")
    request = iter([word]) if kind.startswith("stream") else word
    timeout = 0.1 if row.way == "the deadline passes" else 20
    try:
        if row.way.startswith("with_call()"):
            stub.with_call(request, timeout=timeout)
        elif row.way.startswith("future()"):
            stub.future(request, timeout=timeout).result()
        elif row.way == "cancel()" and not streams:
            call = stub.future(request, timeout=timeout)
            call.cancel()
        elif row.way in {"cancel()", "dropped half-read"}:
            call = stub(request, timeout=timeout)
            next(call)
            if row.way == "cancel()":
                call.cancel()
            del call
            gc.collect()
        elif streams:
            list(stub(request, timeout=timeout))
        else:
            stub(request, timeout=timeout)
    except ERRORS:
        pass
    for _ in range(2500):
        if observer.attempts and all(a.outcomes for a in observer.attempts):
            break
        time.sleep(0.002)
    plain.close()
    return ours


@pytest.mark.parametrize(
    ("row", "flavour", "kind"),
    matrix.CASES,
    ids=[f"{row.way}-{flavour}-{kind}" for row, flavour, kind in matrix.CASES],
)
def test_exactly_one_outcome_is_told(row, flavour, kind, address):
    """Whatever the way, one attempt is made, ends once, and holds nothing."""
    observer = RecordingObserver()
    if flavour == "aio":
        ours = asyncio.run(_aio(row, kind, address, observer))
    else:
        ours = _sync(row, kind, address, observer)

    assert 1 == len(observer.attempts)
    outcome = observer.attempts[0].outcome
    assert (row.code, row.cancelled_by) == (outcome.code, outcome.cancelled_by)
    assert row.verdict == outcome.verdict
    assert 0 <= outcome.latency_s < 20
    if outcome.code == "OK":
        assert outcome.messages_seen == (2 if kind.endswith("stream") else 1)
        assert outcome.headers_seen
    chain = ours[0].chain
    assert {"peer": 0} == chain.held()
    (slot,) = chain._slots.values()
    counted = 0 if row.verdict == "ignored" else 1
    assert counted == slot.breaker.metrics().calls
    assert (row.verdict == "failure") == (slot.breaker.metrics().failed == 1)


def test_the_page_is_the_matrix():
    """The documentation's page is what the rows say."""
    assert matrix.page() == PAGE.read_text()
