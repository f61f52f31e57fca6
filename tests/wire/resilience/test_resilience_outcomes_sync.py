"""One outcome per attempt: four call kinds times every way to end, blocking grpc."""

import gc
import threading
import time
from concurrent import futures

import grpc
import pytest

import resilience
from resilience import BreakerConfig, BulkheadConfig, ClientPolicy
from resilience.testing import RecordingObserver

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
STREAMED = ("unary_stream", "stream_stream")
SINGLE = ("unary_unary", "stream_unary")
POLICY = ClientPolicy(
    target="peer", breaker=BreakerConfig(), bulkhead=BulkheadConfig(limit=100)
)


def _behave(request, context):
    word = request.decode()
    if word == "hang":
        over = threading.Event()
        context.add_callback(over.set)
        over.wait(10)
    elif word != "ok":
        context.abort(grpc.StatusCode[word], "as asked")


def _one(request, context):
    _behave(request, context)
    return b"answer"


def _many(request, context):
    yield b"first"
    _behave(request, context)
    yield b"last"


def _su(requests, context):
    return _one(next(requests), context)


def _ss(requests, context):
    yield from _many(next(requests), context)


@pytest.fixture(scope="module")
def address():
    server = grpc.server(futures.ThreadPoolExecutor(8))
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
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait(5)


class Bench:
    def __init__(self, address):
        self.observer = RecordingObserver()
        interceptors = resilience.client_interceptors(POLICY, observer=self.observer)
        self.chain = interceptors[0].chain
        self.channel = grpc.intercept_channel(
            grpc.insecure_channel(address), *interceptors
        )

    def stub(self, kind):
        return getattr(self.channel, kind)(f"/m.Matrix/{kind}")

    @staticmethod
    def request(kind, word):
        return iter([word.encode()]) if kind.startswith("stream") else word.encode()

    def use(self, kind, word, **options):
        """Make the blocking call, or read the stream to its end."""
        answer = self.stub(kind)(self.request(kind, word), **options)
        return list(answer) if kind in STREAMED else answer

    def outcome(self):
        """The one outcome of the one attempt; given up on after five seconds."""
        for _ in range(500):
            if self.observer.attempts and self.observer.attempts[0].outcomes:
                break
            time.sleep(0.01)
        assert len(self.observer.attempts) == 1
        return self.observer.attempts[0].outcome

    def assert_nothing_held(self):
        for slot in self.chain._slots.values():
            assert slot.bulkhead.in_flight == 0

    def calls_counted(self):
        (slot,) = self.chain._slots.values()
        return slot.breaker.metrics().calls


@pytest.fixture
def bench(address):
    bench = Bench(address)
    yield bench
    bench.channel.close()


@pytest.mark.parametrize("kind", KINDS)
def test_ok_is_told_once(bench, kind):
    """A call that succeeds tells OK once and gives back what it took."""
    bench.use(kind, "ok")

    assert "OK" == bench.outcome().code
    assert 1 == bench.calls_counted()
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("word", ["ok", "UNAVAILABLE"])
def test_with_call_and_future_are_watched_as_well(bench, kind, word):
    """with_call and future tell one outcome each, as the plain call does."""
    stub = bench.stub(kind)
    for use in (
        lambda: stub.with_call(bench.request(kind, word)),
        lambda: stub.future(bench.request(kind, word)).result(),
    ):
        bench.observer.attempts.clear()
        if word == "ok":
            use()
        else:
            with pytest.raises(grpc.RpcError):
                use()
        assert (word if word != "ok" else "OK") == bench.outcome().code
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("word", "verdict"), [("UNAVAILABLE", "failure"), ("NOT_FOUND", "success")]
)
def test_error_status_is_told_once(bench, kind, word, verdict):
    """An error, which blocking grpc returns and does not raise, is told."""
    with pytest.raises(grpc.RpcError) as raised:
        bench.use(kind, word)

    assert grpc.StatusCode[word] is raised.value.code()
    assert (word, verdict) == (bench.outcome().code, bench.outcome().verdict)
    assert 1 == bench.calls_counted()
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
def test_deadline_is_told_as_such(bench, kind):
    """A deadline that is hit is a failure, cut by the deadline."""
    with pytest.raises(grpc.RpcError):
        bench.use(kind, "hang", timeout=0.1)

    outcome = bench.outcome()
    assert ("DEADLINE_EXCEEDED", "deadline", "failure") == (
        outcome.code,
        outcome.cancelled_by,
        outcome.verdict,
    )
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancelling_caller_is_no_failure(bench, kind):
    """A caller's cancel() tells so once, and no permit leaks."""
    stub = bench.stub(kind)
    request = bench.request(kind, "hang")
    call = stub(request) if kind in STREAMED else stub.future(request)
    call.cancel()

    outcome = bench.outcome()
    assert ("CANCELLED", "caller", "ignored") == (
        outcome.code,
        outcome.cancelled_by,
        outcome.verdict,
    )
    assert 0 == bench.calls_counted()
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancelling_peer_is_no_failure(bench, kind):
    """A peer that answers CANCELLED is told from a caller who cancels."""
    with pytest.raises(grpc.RpcError):
        bench.use(kind, "CANCELLED")

    outcome = bench.outcome()
    assert ("CANCELLED", "peer") == (outcome.code, outcome.cancelled_by)
    assert 0 == bench.calls_counted()


@pytest.mark.parametrize("kind", STREAMED)
def test_a_stream_dropped_half_read_ends(bench, kind):
    """A stream that its caller drops is ended by grpc, and nothing is held."""
    call = bench.stub(kind)(bench.request(kind, "hang"))
    assert b"first" == next(call)
    del call
    gc.collect()

    outcome = bench.outcome()
    assert ("CANCELLED", "caller") == (outcome.code, outcome.cancelled_by)
    assert 0 == bench.calls_counted()
    bench.assert_nothing_held()


@pytest.mark.parametrize("kind", SINGLE)
def test_channel_close_ends_calls_once(address, kind):
    """A channel closed under a call ends it as cancelled."""
    bench = Bench(address)
    future = bench.stub(kind).future(bench.request(kind, "hang"))
    bench.channel.close()

    with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
        future.result(5)
    assert "ignored" == bench.outcome().verdict
    bench.assert_nothing_held()


class _Raises(grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation, client_call_details, request):
        raise LookupError("below")


def test_an_interceptor_below_that_raises_is_no_outcome_of_the_peer(address):
    """An error of this side's own making reaches the caller and counts nowhere."""
    observer = RecordingObserver()
    ours = resilience.client_interceptors(POLICY, observer=observer)
    with grpc.insecure_channel(address) as plain:
        channel = grpc.intercept_channel(plain, *ours, _Raises())
        with pytest.raises(LookupError, match="below"):
            channel.unary_unary("/m.Matrix/unary_unary")(b"ok")

    assert (None, "ignored") == (
        observer.attempts[0].outcome.code,
        observer.attempts[0].outcome.verdict,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_breaker_returns_a_real_call(bench, kind):
    """A refused call of any kind answers everything a caller may ask."""
    bench.chain.slot(f"/m.Matrix/{kind}").breaker.open()

    with pytest.raises(resilience.CircuitOpenError) as raised:
        bench.use(kind, "ok")

    error = raised.value
    assert isinstance(error, grpc.RpcError)
    assert grpc.StatusCode.UNAVAILABLE is error.code()
    assert (("x-seawall-refusal", "breaker_open"),) == error.trailing_metadata()
    assert 0 < error.retry_after_s <= 5
    assert [] == bench.observer.attempts
    if kind in STREAMED:
        call = bench.stub(kind)(bench.request(kind, "ok"))
    else:
        call = bench.stub(kind).future(bench.request(kind, "ok"))
    assert (True, False, False) == (call.done(), call.cancelled(), call.cancel())
    assert grpc.StatusCode.UNAVAILABLE is call.code()
    with pytest.raises(grpc.RpcError):
        call.result()
