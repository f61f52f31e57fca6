"""One outcome per attempt: four call kinds times every way to end, grpc.aio."""

import asyncio

import grpc
import pytest
from grpc import aio

import resilience
from resilience import BreakerConfig, BulkheadConfig, ClientPolicy
from resilience.testing import RecordingObserver

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
STREAMED = ("unary_stream", "stream_stream")
# Nothing trips here: the matrix is about what is told, and about permits.
POLICY = ClientPolicy(
    target="peer", breaker=BreakerConfig(), bulkhead=BulkheadConfig(limit=100)
)


async def _behave(request, context):
    word = request.decode()
    if word == "hang":
        await asyncio.sleep(30)
    elif word != "ok":
        await context.abort(grpc.StatusCode[word], "as asked")


async def _one(request, context):
    await _behave(request, context)
    return b"answer"


async def _first(requests):
    async for request in requests:
        return request
    return b"ok"


async def _many(request, context):
    yield b"first"
    await _behave(request, context)
    yield b"last"


async def _su(requests, context):
    return await _one(await _first(requests), context)


async def _ss(requests, context):
    async for response in _many(await _first(requests), context):
        yield response


@pytest.fixture
async def address():
    server = aio.server()
    handlers = {
        "unary_unary": grpc.unary_unary_rpc_method_handler(_one),
        "unary_stream": grpc.unary_stream_rpc_method_handler(_many),
        "stream_unary": grpc.stream_unary_rpc_method_handler(_su),
        "stream_stream": grpc.stream_stream_rpc_method_handler(_ss),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("m.Matrix", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


class Bench:
    def __init__(self, address, policy=POLICY):
        self.observer = RecordingObserver()
        self.interceptors = resilience.aio_client_interceptors(
            policy, observer=self.observer
        )
        self.chain = self.interceptors[0].chain
        self.channel = aio.insecure_channel(address, interceptors=self.interceptors)

    def call(self, kind, word, **options):
        stub = getattr(self.channel, kind)(f"/m.Matrix/{kind}")
        request = word.encode()
        if kind.startswith("stream"):
            return stub(iter([request]), **options)
        return stub(request, **options)

    async def outcome(self):
        """The one outcome of the one attempt; given up on after five seconds."""
        for _ in range(500):
            if self.observer.attempts and self.observer.attempts[0].outcomes:
                break
            await asyncio.sleep(0.01)
        assert len(self.observer.attempts) == 1
        return self.observer.attempts[0].outcome

    def assert_nothing_held(self):
        for slot in self.chain._slots.values():
            assert slot.bulkhead.in_flight == 0

    def calls_counted(self):
        (slot,) = self.chain._slots.values()
        return slot.breaker.metrics().calls


@pytest.fixture
async def bench(address):
    bench = Bench(address)
    yield bench
    await bench.channel.close()


async def _consume(kind, call):
    if kind in STREAMED:
        return [message async for message in call]
    return await call


@pytest.mark.parametrize("kind", KINDS)
async def test_ok_is_told_once(bench, kind):
    """A call that succeeds tells OK once and gives back what it took."""
    await _consume(kind, bench.call(kind, "ok"))

    outcome = await bench.outcome()
    assert ("OK", None, "success") == (
        outcome.code,
        outcome.cancelled_by,
        outcome.verdict,
    )
    bench.assert_nothing_held()
    assert 1 == bench.calls_counted()


@pytest.mark.parametrize("kind", STREAMED)
async def test_read_api_is_watched_as_well(bench, kind):
    """A stream that is read() to its end tells the same as an iterated one."""
    call = bench.call(kind, "ok")

    messages = []
    while (message := await call.read()) is not aio.EOF:
        messages.append(message)

    assert [b"first", b"last"] == messages
    assert "OK" == (await bench.outcome()).code


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_write_api_passes_through(bench, kind):
    """A caller may write() and done_writing(); the interceptor waits for nothing."""
    call = getattr(bench.channel, kind)(f"/m.Matrix/{kind}")()
    await call.write(b"ok")
    await call.done_writing()

    await _consume(kind, call)

    assert "OK" == (await bench.outcome()).code


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("word", "verdict", "counted"),
    [("UNAVAILABLE", "failure", 1), ("NOT_FOUND", "success", 1)],
)
async def test_error_status_is_told_once(bench, kind, word, verdict, counted):
    """An error tells its status, and counts as the classifier has it."""
    call = bench.call(kind, word)
    with pytest.raises(aio.AioRpcError) as raised:
        await _consume(kind, call)

    assert grpc.StatusCode[word] is raised.value.code()
    assert grpc.StatusCode[word] is await call.code()
    outcome = await bench.outcome()
    assert (word, verdict) == (outcome.code, outcome.verdict)
    assert counted == bench.calls_counted()
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
async def test_deadline_is_told_as_such(bench, kind):
    """A deadline that is hit is a failure, cut by the deadline."""
    with pytest.raises(aio.AioRpcError):
        await _consume(kind, bench.call(kind, "hang", timeout=0.1))

    outcome = await bench.outcome()
    assert ("DEADLINE_EXCEEDED", "deadline", "failure") == (
        outcome.code,
        outcome.cancelled_by,
        outcome.verdict,
    )
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_caller_is_no_failure(bench, kind):
    """A caller who is cancelled tells so once, and no permit leaks."""
    call = bench.call(kind, "hang")
    task = asyncio.ensure_future(_consume(kind, call))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call.cancel()

    outcome = await bench.outcome()
    assert ("CANCELLED", "caller", "ignored") == (
        outcome.code,
        outcome.cancelled_by,
        outcome.verdict,
    )
    assert 0 == bench.calls_counted()
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
async def test_call_cancel_is_no_failure(bench, kind):
    """call.cancel() tells a cancellation by the caller once."""
    call = bench.call(kind, "hang")
    await asyncio.sleep(0.05)
    assert call.cancel()

    outcome = await bench.outcome()
    assert ("CANCELLED", "caller") == (outcome.code, outcome.cancelled_by)
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelling_peer_is_no_failure(bench, kind):
    """A peer that answers CANCELLED is told from a caller who cancels."""
    with pytest.raises((aio.AioRpcError, asyncio.CancelledError)):
        await _consume(kind, bench.call(kind, "CANCELLED"))

    outcome = await bench.outcome()
    assert ("CANCELLED", "peer", "ignored") == (
        outcome.code,
        outcome.cancelled_by,
        outcome.verdict,
    )
    assert 0 == bench.calls_counted()


@pytest.mark.parametrize("kind", STREAMED)
async def test_a_stream_closed_early_is_no_failure(bench, kind):
    """A caller who has read enough and closes the stream gives everything back."""
    call = bench.call(kind, "hang")
    async for message in call:
        assert b"first" == message
        break
    # grpc.aio itself keeps a stream running that is only dropped.
    call.cancel()

    outcome = await bench.outcome()
    assert ("CANCELLED", "caller") == (outcome.code, outcome.cancelled_by)
    assert 0 == bench.calls_counted()
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
async def test_channel_close_ends_calls_once(address, kind):
    """A channel closed under a call ends it as cancelled by this side."""
    bench = Bench(address)
    call = bench.call(kind, "hang")
    task = asyncio.ensure_future(_consume(kind, call))
    await asyncio.sleep(0.05)

    await bench.channel.close()

    with pytest.raises((asyncio.CancelledError, aio.AioRpcError, aio.UsageError)):
        await task
    outcome = await bench.outcome()
    assert ("CANCELLED", "ignored") == (outcome.code, outcome.verdict)
    bench.assert_nothing_held()


class _Raises(aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation, client_call_details, request):
        raise LookupError("below")


async def test_an_interceptor_below_that_raises_is_no_outcome_of_the_peer(address):
    """An error of this side's own making reaches the caller and counts nowhere."""
    observer = RecordingObserver()
    ours = resilience.aio_client_interceptors(POLICY, observer=observer)
    async with aio.insecure_channel(
        address, interceptors=[*ours, _Raises()]
    ) as channel:
        with pytest.raises(LookupError, match="below"):
            await channel.unary_unary("/m.Matrix/unary_unary")(b"ok")

    assert (None, "ignored") == (
        observer.attempts[0].outcome.code,
        observer.attempts[0].outcome.verdict,
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_open_breaker_returns_a_real_call(address, kind):
    """A refused call of any kind answers everything, and the channel closes."""
    bench = Bench(address)
    slot = bench.chain.slot(f"/m.Matrix/{kind}".encode())
    slot.breaker.open()
    seen = []

    call = bench.call(kind, "ok")
    call.add_done_callback(seen.append)
    with pytest.raises(resilience.CircuitOpenError) as raised:
        await _consume(kind, call)

    error = raised.value
    assert isinstance(error, grpc.RpcError)
    assert grpc.StatusCode.UNAVAILABLE is error.code()
    assert 0 < error.retry_after_s <= 5
    assert grpc.StatusCode.UNAVAILABLE is await call.code()
    assert "circuit peer/m.Matrix/" in await call.details()
    assert ("x-seawall-refusal", "breaker_open") in list(await call.trailing_metadata())
    assert [] == list(await call.initial_metadata())
    assert (True, False, False) == (call.done(), call.cancelled(), call.cancel())
    assert [call] == seen
    assert [] == bench.observer.attempts
    await bench.channel.close()
