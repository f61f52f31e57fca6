"""resilience.testing: scripted servers, faults, assertions and the switch."""

import random
import time

import grpc
import pytest
from grpc import aio

import resilience
from resilience import BreakerConfig, ClientPolicy, FaultInjected, RetryConfig
from resilience.testing import (
    Delay,
    Fail,
    FaultConfig,
    Hang,
    RecordingListener,
    RecordingObserver,
    Script,
    aio_client_faults,
    aio_scripted_server,
    aio_server_faults,
    assert_attempts,
    assert_no_permits_held,
    assert_one_outcome,
    assert_transitions,
    client_faults,
    policies_off,
    push_back,
    scripted_server,
    server_faults,
)

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
METHODS = {f"/t.T/{kind}": kind for kind in KINDS}
RETRY = RetryConfig(attempts=3, backoff_s=0.001, backoff_max_s=0.001)


def _scripts(*steps):
    return {
        method: Script([[step] if kind.endswith("stream") else step for step in steps])
        for method, kind in METHODS.items()
    }


async def _aio_use(channel, kind, **options):
    stub = getattr(channel, kind)(f"/t.T/{kind}")
    call = stub(iter([b"q"]) if kind.startswith("stream") else b"q", **options)
    if kind.endswith("stream"):
        return [message async for message in call]
    return [await call]


def _use(channel, kind, **options):
    stub = getattr(channel, kind)(f"/t.T/{kind}")
    answer = stub(iter([b"q"]) if kind.startswith("stream") else b"q", **options)
    return list(answer) if kind.endswith("stream") else [answer]


@pytest.mark.parametrize("kind", KINDS)
async def test_scripts_play_over_grpc_aio(kind):
    """Answers, delays, failures with trailers, and never an answer."""
    steps = (b"one", Delay(0.01, b"two"), push_back(after_ms=7), "NOT_FOUND", Hang())
    async with (
        aio_scripted_server(_scripts(*steps), kinds=METHODS) as server,
        aio.insecure_channel(server.address) as channel,
    ):
        assert [b"one"] == await _aio_use(channel, kind)
        assert [b"two"] == await _aio_use(channel, kind)
        found = []
        for _ in range(3):
            with pytest.raises(aio.AioRpcError) as raised:
                await _aio_use(channel, kind, timeout=0.2)
            found.append(raised.value.code().name)
            if len(found) == 1:
                trailers = dict(raised.value.trailing_metadata())
                assert "7" == trailers["grpc-retry-pushback-ms"]

        assert ["UNAVAILABLE", "NOT_FOUND", "DEADLINE_EXCEEDED"] == found
        assert 5 == server.calls(f"/t.T/{kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_scripts_play_over_blocking_grpc(kind):
    """The same steps from a blocking server."""
    steps = (b"one", Delay(0.01, b"two"), Fail("ABORTED", "why"), Hang())
    with (
        scripted_server(_scripts(*steps), kinds=METHODS) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        assert [b"one"] == _use(channel, kind)
        assert [b"two"] == _use(channel, kind)
        found = []
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as raised:
                _use(channel, kind, timeout=0.2)
            found.append(raised.value.code().name)

        assert ["ABORTED", "DEADLINE_EXCEEDED"] == found


def test_methods_are_named_in_full():
    """A method without its service cannot be served, and that is said."""
    with (
        pytest.raises(ValueError, match="in full"),
        scripted_server({"Method": Script([b""])}),
    ):
        pass


async def test_assertions_say_what_they_found():
    """Each assertion passes on the truth and names what was otherwise."""
    observer, listener = RecordingObserver(), RecordingListener()
    policy = ClientPolicy(
        target="t", retry=RETRY, breaker=BreakerConfig(window_size=2, min_calls=2)
    )
    chain = resilience.aio_client_interceptors(
        policy, observer=observer, listener=listener
    )
    scripts = {"/t.T/Go": Script(["UNAVAILABLE", b"x"])}
    async with (
        aio_scripted_server(scripts) as server,
        aio.insecure_channel(server.address, interceptors=chain) as channel,
    ):
        assert b"x" == await channel.unary_unary("/t.T/Go")(b"")

    assert_attempts(observer, ["UNAVAILABLE", "OK"])
    assert_no_permits_held(chain)
    assert_transitions(listener, [("closed", "open")])
    with pytest.raises(AssertionError, match="2 attempts, not 1"):
        assert_one_outcome(observer, code="OK")
    with pytest.raises(AssertionError, match="attempts ended with"):
        assert_attempts(observer, ["OK"])
    with pytest.raises(AssertionError, match="breakers went"):
        assert_transitions(listener, [])


async def test_policies_can_be_turned_off_for_the_whole_process():
    """Inside the block a client calls as if it had no policy; its state stays."""
    chain = resilience.aio_client_interceptors(ClientPolicy(target="t", retry=RETRY))
    scripts = {"/t.T/Go": Script(["UNAVAILABLE"])}
    async with (
        aio_scripted_server(scripts) as server,
        aio.insecure_channel(server.address, interceptors=chain) as channel,
    ):
        stub = channel.unary_unary("/t.T/Go")
        with policies_off(), pytest.raises(aio.AioRpcError):
            await stub(b"")
        assert 1 == server.calls("/t.T/Go")
        with pytest.raises(aio.AioRpcError):
            await stub(b"")

        assert 4 == server.calls("/t.T/Go")


@pytest.mark.parametrize("kind", KINDS)
async def test_aio_faults_strike_on_either_side(kind):
    """A client's fault is never sent, a server's is; both are told."""
    listener = RecordingListener()
    abort = FaultConfig(abort="UNAVAILABLE")
    late = FaultConfig(delay_s=0.05)
    async with (
        aio_scripted_server(
            _scripts(b"one"), kinds=METHODS, interceptors=[aio_server_faults(late)]
        ) as server,
        aio.insecure_channel(
            server.address, interceptors=aio_client_faults(abort, listener=listener)
        ) as broken,
        aio.insecure_channel(server.address) as channel,
    ):
        with pytest.raises(aio.AioRpcError) as raised:
            await _aio_use(broken, kind)
        assert 0 == server.calls(f"/t.T/{kind}")
        begun = time.monotonic()
        assert [b"one"] == await _aio_use(channel, kind)

    assert time.monotonic() - begun >= 0.05
    assert grpc.StatusCode.UNAVAILABLE is raised.value.code()
    assert "fault filter abort" == raised.value.details()
    expected = FaultInjected(method=f"/t.T/{kind}", delay_s=0.0, code="UNAVAILABLE")
    assert [expected] == listener.events


@pytest.mark.parametrize("kind", KINDS)
def test_blocking_faults_strike_on_either_side(kind):
    """The same for blocking gRPC, with a sleep that a test can replace."""
    slept = []
    abort = FaultConfig(abort="ABORTED", delay_s=3, methods=frozenset({kind}))
    with (
        scripted_server(
            _scripts(b"one"),
            kinds=METHODS,
            interceptors=[server_faults(abort, sleep=slept.append)],
        ) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        broken = grpc.intercept_channel(
            channel, *client_faults(FaultConfig(abort="UNAVAILABLE"))
        )
        codes = []
        for one in (broken, channel):
            with pytest.raises(grpc.RpcError) as raised:
                _use(one, kind)
            codes.append(raised.value.code().name)

        assert ["UNAVAILABLE", "ABORTED"] == codes
        assert [3] == slept
        assert 0 == server.calls(f"/t.T/{kind}")


def test_faults_hit_their_share():
    """A tenth of the calls is about a tenth, and a bound holds back the rest."""
    from resilience._faults import Faults

    faults = Faults(FaultConfig(delay_s=1, delay_percent=10), rng=random.Random(1))
    hit = [fault for _ in range(10_000) if (fault := faults.decide("/a/B"))]
    assert 900 < len(hit) < 1100
    assert len(hit) == faults.active

    few = Faults(FaultConfig(delay_s=1, max_active=3), rng=random.Random(1))
    held = [fault for _ in range(10) if (fault := few.decide("/a/B"))]
    assert 3 == len(held)
    few.over(held[0])
    assert few.decide("/a/B") is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay_s": -1},
        {"delay_percent": 101},
        {"abort_percent": -1},
        {"abort": "OK"},
        {"max_active": 0},
    ],
)
def test_impossible_faults_are_refused(wrong):
    """Percentages are percentages, and OK is no fault."""
    with pytest.raises(ValueError):
        FaultConfig(**wrong)
