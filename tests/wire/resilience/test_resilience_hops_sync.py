"""Blocking grpc over hops: retries, the deadline handed to threads, limits."""

import threading
from concurrent import futures
from contextlib import ExitStack

import grpc
import pytest

import resilience
from resilience import (
    BreakerConfig,
    BulkheadConfig,
    ClientPolicy,
    RetryConfig,
    ServerPolicy,
)
from resilience.testing import RecordingObserver, Script

pytestmark = pytest.mark.resilience

QUICK = RetryConfig(attempts=4, backoff_s=0.001, backoff_max_s=0.001)


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def _serve(stack, behaviour, policy=None, kind="unary_unary"):
    interceptor = resilience.server_interceptor(policy or ServerPolicy())
    server = grpc.server(futures.ThreadPoolExecutor(8), interceptors=[interceptor])
    handler = getattr(grpc, f"{kind}_rpc_method_handler")(behaviour)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("h.Hop", {"Go": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stack.callback(lambda: server.stop(0).wait(5))
    return f"127.0.0.1:{port}"


def _dial(stack, address, policy, kind="unary_unary", **options):
    interceptors = resilience.client_interceptors(policy, **options)
    channel = stack.enter_context(grpc.insecure_channel(address))
    stub = getattr(grpc.intercept_channel(channel, *interceptors), kind)("/h.Hop/Go")
    return stub, interceptors[0].chain


def _scripted(script):
    def go(_request, context):
        step = script.next()
        if isinstance(step, str):
            context.abort(grpc.StatusCode[step], "scripted")
        return step

    return go


def test_failures_are_repeated_and_counted(stack):
    """Blocking grpc returns its errors; they are retried all the same."""
    observer = RecordingObserver()
    script = Script(["UNAVAILABLE", "UNAVAILABLE", b"answer"])
    stub, _ = _dial(
        stack,
        _serve(stack, _scripted(script)),
        ClientPolicy(target="leaf", retry=QUICK),
        observer=observer,
    )

    assert b"answer" == stub(b"")
    codes = [attempt.outcome.code for attempt in observer.attempts]
    assert ["UNAVAILABLE", "UNAVAILABLE", "OK"] == codes
    assert ("grpc-previous-rpc-attempts", "2") in observer.attempts[2].metadata


def test_a_future_is_made_once(stack):
    """A future never blocks its caller to wait for a retry."""
    script = Script(["UNAVAILABLE"])
    stub, _ = _dial(
        stack,
        _serve(stack, _scripted(script)),
        ClientPolicy(target="leaf", retry=QUICK),
    )

    with pytest.raises(grpc.RpcError):
        stub.future(b"").result()
    assert 1 == script.total


def test_the_breaker_trips_on_returned_errors(stack):
    """The naive interceptor never trips here; this one refuses the fifth call."""
    script = Script(["UNAVAILABLE"])
    breaker = BreakerConfig(min_calls=4, window_size=4, open_s=30)
    stub, chain = _dial(
        stack,
        _serve(stack, _scripted(script)),
        ClientPolicy(target="leaf", breaker=breaker),
    )
    for _ in range(10):
        with pytest.raises(grpc.RpcError):
            stub(b"")

    assert 4 == script.total
    assert {"leaf/h.Hop/Go": "open"} == chain.breakers()


def test_callers_are_never_serialised(stack):
    """Eight threads are inside the callee at once: no lock is held over a call."""
    together = threading.Barrier(8)

    def meet(_request, _context):
        together.wait(5)
        return b"answer"

    stub, _ = _dial(stack, _serve(stack, meet), resilience.standard("leaf"))
    with futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stub(b""), range(8)))

    assert [b"answer"] * 8 == answers


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
def test_the_deadline_follows_into_the_handlers_thread(stack, kind):
    """The leaf has less time than the middle; without a deadline it has none."""
    left = []

    def leaf(_request, context):
        left.append(context.time_remaining())
        return b"answer"

    policy = ClientPolicy(target="next", reserve_s=0.05)
    below, _ = _dial(stack, _serve(stack, leaf), policy)

    def middle(request, context):
        left.append(context.time_remaining())
        return below(request)

    def middle_stream(request, context):
        yield middle(request, context)

    behaviour = middle if kind == "unary_unary" else middle_stream
    root, _ = _dial(stack, _serve(stack, behaviour, kind=kind), policy, kind)
    for timeout in (2, None):
        answer = root(b"", timeout=timeout)
        assert [b"answer"] == ([answer] if kind == "unary_unary" else list(answer))

    assert left[0] < 2.05
    assert left[1] < left[0] - 0.03
    # Blocking grpc's word for no deadline.
    assert min(left[2:]) > 1e9


def test_the_origin_is_named_by_a_blocking_hop(stack):
    """A failure passed on names the leaf in its trailers."""
    policy = ClientPolicy(target="leaf")
    below, _ = _dial(stack, _serve(stack, _scripted(Script(["UNAVAILABLE"]))), policy)

    def middle(request, context):
        try:
            return below(request)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    root, _ = _dial(stack, _serve(stack, middle), resilience.bare("middle"))
    with pytest.raises(grpc.RpcError) as raised:
        root(b"")

    assert ("x-seawall-origin", "leaf") in list(raised.value.trailing_metadata())


def test_limits_refuse_on_both_sides(stack):
    """The bulkhead refuses here, the server's limit there; both by their word."""
    inside, gate = threading.Semaphore(0), threading.Event()

    def wait(_request, _context):
        inside.release()
        gate.wait(5)
        return b"answer"

    address = _serve(stack, wait, ServerPolicy(max_concurrent=1))
    stub, chain = _dial(
        stack,
        address,
        ClientPolicy(target="leaf", bulkhead=BulkheadConfig(limit=2)),
    )
    first = stub.future(b"")
    assert inside.acquire(timeout=5)
    with pytest.raises(grpc.RpcError) as raised:
        stub(b"")
    assert ("x-seawall-refusal", "limit") in list(raised.value.trailing_metadata())

    other = stub.future(b"")
    with pytest.raises(grpc.RpcError):
        other.result(5)
    bulkhead = chain.slot("/h.Hop/Go").bulkhead
    assert bulkhead.try_enter()
    with pytest.raises(resilience.BulkheadFullError):
        stub(b"")
    bulkhead.leave()
    gate.set()
    assert b"answer" == first.result(5)
