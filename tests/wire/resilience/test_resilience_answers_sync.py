"""Answers that no attempt brought: fallbacks and shared calls, blocking grpc."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest

import resilience
from resilience import (
    BreakerConfig,
    ClientPolicy,
    CoalesceConfig,
    FallbackConfig,
    RetryConfig,
)
from resilience.testing import Delay, Script, scripted_server

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
OPENS = BreakerConfig(window_size=1, min_calls=1, open_s=60, failure_rate=0.01)


@pytest.fixture
def dial():
    """dial(script, policy): a unary stub over the wire."""
    with ExitStack() as stack:

        def make(script, policy):
            server = stack.enter_context(scripted_server({"/t.T/Go": script}))
            channel = stack.enter_context(grpc.insecure_channel(server.address))
            interceptors = resilience.client_interceptors(policy)
            return grpc.intercept_channel(channel, *interceptors).unary_unary("/t.T/Go")

        yield make


def test_a_value_answers_for_a_service_that_cannot(dial):
    """The second best answer comes as a call that is OK and says what it is."""
    policy = ClientPolicy(target="t", fallback=FallbackConfig(value=b"second best"))
    stub = dial(Script(["UNAVAILABLE", "NOT_FOUND"]), policy)
    response, call = stub.with_call(b"")

    assert b"second best" == response
    assert grpc.StatusCode.OK is call.code()
    assert "UNAVAILABLE" == dict(call.trailing_metadata())["x-seawall-fallback"]
    with pytest.raises(grpc.RpcError) as raised:
        stub(b"")
    assert grpc.StatusCode.NOT_FOUND is raised.value.code()


def test_old_answers_other_targets_and_functions(dial):
    """Tried in order: the last good answer, another target, a function."""
    spare = dial(Script([b"spare"]), resilience.bare("b"))
    old = ClientPolicy(target="t", fallback=FallbackConfig(stale_s=60, other=spare))
    stub = dial(Script([b"good", "UNAVAILABLE"]), old)
    assert [b"good", b"good", b"spare"] == [stub(b"a"), stub(b"a"), stub(b"b")]
    function = ClientPolicy(
        target="t",
        retry=RetryConfig(attempts=2, backoff_s=0.001),
        fallback=FallbackConfig(provide=lambda request, error: request + b"!"),
    )
    script = Script(["UNAVAILABLE"])

    assert b"asked!" == dial(script, function)(b"asked")
    assert 2 == script.total


def test_identical_reads_share_one_call(dial):
    """Twenty threads, one call on the wire; each gets a message and a real call."""
    script = Script([Delay(0.2, b"answer")])
    policy = ClientPolicy(target="t", coalesce=CoalesceConfig(), timeout_s=5)
    stub = dial(script, policy)
    start = threading.Barrier(20)

    def ask(_):
        start.wait(5)
        response, call = stub.with_call(b"same")
        return response, dict(call.trailing_metadata())["x-seawall-cache"]

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(ask, range(20)))

    assert {b"answer"} == {response for response, _ in found}
    assert 1 == script.total
    assert 1 == [source for _, source in found].count("fresh")


def test_a_shared_call_is_waited_for_as_long_as_each_can(dial):
    """A reader's own deadline ends its wait, and a shared error is everybody's."""
    policy = ClientPolicy(target="t", coalesce=CoalesceConfig(), timeout_s=5)
    stub = dial(Script([Delay(0.3, "ABORTED"), b"answer"]), policy)
    with pytest.raises(grpc.RpcError) as late:
        stub(b"same", timeout=0.05)
    with pytest.raises(grpc.RpcError) as failed:
        stub(b"same", timeout=5)

    assert grpc.StatusCode.DEADLINE_EXCEEDED is late.value.code()
    assert grpc.StatusCode.ABORTED is failed.value.code()
    assert b"answer" == stub(b"same")


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_short_circuits_are_real_calls(kind, answered):
    """Refused or answered without being sent, every kind does all a call does."""
    streams = kind.endswith("stream")
    value = [b"one", b"two"] if streams else b"one"
    policy = ClientPolicy(
        target="t",
        breaker=OPENS,
        fallback=FallbackConfig(value=value) if answered else None,
    )
    (chain,) = resilience.client_interceptors(policy)
    chain.chain.slot(f"/t.T/{kind}").breaker.open()
    with grpc.insecure_channel("127.0.0.1:1") as plain:
        channel = grpc.intercept_channel(plain, chain)
        stub = getattr(channel, kind)(f"/t.T/{kind}")
        request = iter([b"q"]) if kind.startswith("stream") else b"q"
        call = stub(request) if streams else stub.future(request)
        if answered:
            assert value == (list(call) if streams else call.result())
            assert call.exception() is None
        else:
            with pytest.raises(resilience.CircuitOpenError):
                next(call) if streams else call.result()
            assert isinstance(call.exception(), grpc.RpcError)
        expected = grpc.StatusCode.OK if answered else grpc.StatusCode.UNAVAILABLE
        ended = []
        call.add_done_callback(ended.append)

        assert expected is call.code()
        word = "x-seawall-fallback" if answered else "x-seawall-refusal"
        assert "breaker_open" == dict(call.trailing_metadata())[word]
        assert () == tuple(call.initial_metadata())
        assert answered == (call.details() == "")
        assert call.done()
        assert not call.is_active()
        assert not call.running()
        assert not call.cancel()
        assert not call.cancelled()
        assert call.time_remaining() is None
        assert not call.add_callback(lambda: None)
        assert [call] == ended
        assert repr(call)


def test_a_refused_readers_metadata_are_the_fallbacks_to_see():
    """The key of old answers gets the metadata of a stream that was never begun."""
    config = FallbackConfig(
        value=[b"x"], stale_s=1, key=lambda _request, metadata: dict(metadata)["user"]
    )
    policy = ClientPolicy(target="t", breaker=OPENS, fallback=config)
    (chain,) = resilience.client_interceptors(policy)
    chain.chain.slot("/t.T/Go").breaker.open()
    with grpc.insecure_channel("127.0.0.1:1") as plain:
        stub = grpc.intercept_channel(plain, chain).unary_stream("/t.T/Go")

        assert [b"x"] == list(stub(b"", metadata=(("user", "a"),)))


def test_a_fallback_holds_for_with_call_and_for_calls_alike():
    """All ways of a single-response call get the second best answer."""
    policy = ClientPolicy(
        target="t", breaker=OPENS, fallback=FallbackConfig(value=b"x")
    )
    (chain,) = resilience.client_interceptors(policy)
    chain.chain.slot("/t.T/Go").breaker.open()
    with grpc.insecure_channel("127.0.0.1:1") as plain:
        stub = grpc.intercept_channel(plain, chain).unary_unary("/t.T/Go")

        assert b"x" == stub(b"")
        assert b"x" == stub.with_call(b"")[0]
        assert b"x" == stub.future(b"").result()
