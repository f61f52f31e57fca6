"""A balanced blocking channel over real servers."""

import gc
import threading
import time
from collections import Counter
from contextlib import ExitStack

import grpc
import pytest

import resilience
from resilience import ClientPolicy, RetryConfig
from resilience.balancing import (
    Backend,
    Balancer,
    Locality,
    LocalityFirst,
    OutlierConfig,
    PeakEwma,
    RoundRobin,
    open_channel,
)
from resilience.testing import Delay, Fail, Hang, Script, scripted_server

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
METHODS = {f"/t.T/{kind}": kind for kind in KINDS}
READY = grpc.ChannelConnectivity.READY


def _retrying(channel, attempts=2):
    config = RetryConfig(attempts=attempts, backoff_s=0.001, backoff_max_s=0.001)
    policy = ClientPolicy(target="t", retry=config)
    return grpc.intercept_channel(channel, *resilience.client_interceptors(policy))


def _scripts(step):
    return {
        method: Script([[step] if kind.endswith("stream") else step])
        for method, kind in METHODS.items()
    }


def _stub(channel, kind="unary_unary"):
    return getattr(channel, kind)(
        f"/t.T/{kind}", request_serializer=bytes, response_deserializer=bytes.decode
    )


def _use(channel, kind="unary_unary"):
    request = iter([b"q"]) if kind.startswith("stream") else b"q"
    answer = _stub(channel, kind)(request)
    return next(iter(list(answer))) if kind.endswith("stream") else answer


def _counted(channel, calls):
    good = 0
    for _ in range(calls):
        try:
            good += _use(channel) != "bad"
        except grpc.RpcError:
            continue
    return good


def _until(happened):
    for _ in range(1000):
        if happened():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen within five seconds")


def _idle(balancer):
    return not any(node.pending for node in balancer.nodes)


@pytest.fixture
def ring():
    """ring(a=step, b=step): a balancer's backends, each a scripted server."""
    with ExitStack() as stack:

        def make(**steps):
            return [
                Backend(
                    name=name,
                    address=stack.enter_context(
                        scripted_server(_scripts(step), kinds=METHODS)
                    ).address,
                )
                for name, step in steps.items()
            ]

        yield make


class Dialled:
    """Dials backends, and remembers which channels are open."""

    def __init__(self):
        self.open = Counter()

    def __call__(self, backend):
        channel = grpc.insecure_channel(backend.address)
        close = channel.close
        self.open[backend.name] += 1

        def closed():
            self.open[backend.name] -= 1
            close()

        channel.close = closed
        return channel


@pytest.mark.parametrize("intercepted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_and_ways_reach_all_backends(kind, intercepted, ring):
    """Calls, with_call and futures take turns, and give their places back."""
    balancer = Balancer("t", ring(a=b"a", b=b"b"), RoundRobin())
    with open_channel(balancer) as plain:
        channel = _retrying(plain) if intercepted else plain
        found = [_use(channel, kind) for _ in range(6)]
        if kind.endswith("unary"):
            stub = _stub(channel, kind)
            request = (lambda: iter([b"q"])) if kind[0] == "s" else (lambda: b"q")
            assert stub.with_call(request())[0] in {"a", "b"}
            assert stub.future(request()).result() in {"a", "b"}
        _until(lambda: _idle(balancer))

    assert ["a", "a", "a", "b", "b", "b"] == sorted(found)


def test_an_intercepted_channel_asks_for_no_new_methods(ring):
    """grpc.intercept_channel asks at every call; the method is kept at hand."""
    balancer = Balancer("t", ring(a=b"a"), RoundRobin())
    with open_channel(balancer) as plain:
        stub = _stub(_retrying(plain))
        for _ in range(20):
            stub(b"q")

        assert 1 == len(plain._methods)


def test_a_retry_goes_to_another_backend(ring):
    """Whichever the first attempt met, dead or failing, the second meets the good."""
    (good,) = ring(good=b"good")
    dead = Backend(name="bad", address="127.0.0.1:1")
    for bad in (dead, *ring(bad="UNAVAILABLE")):
        with open_channel(Balancer("t", [bad, good], RoundRobin())) as channel:
            wrapped = _retrying(channel)
            assert ["good"] * 10 == [_use(wrapped) for _ in range(10)]


def test_every_attempt_goes_to_a_backend_not_tried(ring):
    """Of three attempts at three backends no two go to the same one."""
    backends = ring(a="UNAVAILABLE", b="UNAVAILABLE", good=b"good")
    with open_channel(Balancer("t", backends, RoundRobin())) as channel:
        wrapped = _retrying(channel, 3)
        assert ["good"] * 12 == [_use(wrapped) for _ in range(12)]


@pytest.mark.parametrize("bad", [Delay(0.05, b"bad"), "UNAVAILABLE"])
def test_weighted_response_time_leaves_the_bad_backend(bad, ring):
    """PeakEwma rarely asks who is slow, or who fails at once; round robin does."""
    backends = ring(bad=bad, a=b"a", b=b"b")
    shares = []
    for picker in (RoundRobin(), PeakEwma()):
        with open_channel(Balancer("t", backends, picker)) as channel:
            shares.append(60 - _counted(channel, 60))

    assert 20 == shares[0]
    assert shares[1] < 10


def test_a_failing_backend_is_ejected_and_returns(ring):
    """After its failures it gets no calls; when its time is over it does again."""
    backends = ring(bad="UNAVAILABLE", good=b"good", other=b"other")
    config = OutlierConfig(consecutive_failures=2, interval_s=0.05, base_ejection_s=0.2)
    balancer = Balancer("t", backends, RoundRobin(), outliers=config)
    with open_channel(balancer) as channel:
        assert 28 == _counted(channel, 30)
        assert {"bad"} == balancer.ejected
        _until(lambda: not balancer.ejected)

        assert 2 == _counted(channel, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("trailers", "ejected"),
    [
        ((), True),
        ((("x-seawall-origin", "leaf"),), False),
        ((("x-seawall-refusal", "deadline"),), False),
    ],
)
def test_a_failure_that_was_passed_on_ejects_nobody(kind, trailers, ejected, ring):
    """The hop behind it failed, or our caller was late: the server is no outlier."""
    backends = ring(relay=Fail("UNAVAILABLE", trailers=trailers), a=b"a", b=b"b")
    config = OutlierConfig(consecutive_failures=1)
    balancer = Balancer("t", backends, RoundRobin(), outliers=config)
    with open_channel(balancer) as channel:
        with pytest.raises(grpc.RpcError):
            _use(channel, kind)
        _until(lambda: _idle(balancer))

    assert ejected == bool(balancer.ejected)


def test_the_nearest_are_asked_first_and_overflow(ring):
    """All calls stay near, until the near one is ejected."""
    far, near = ring(far=b"far", near="UNAVAILABLE")
    here = Locality(region="eu", regions={"us": 80})
    backends = [
        Backend(name="far", address=far.address, region="us"),
        Backend(name="near", address=near.address, region="eu"),
    ]
    balancer = Balancer(
        "t",
        backends,
        LocalityFirst(RoundRobin(), here=here),
        outliers=OutlierConfig(consecutive_failures=3),
    )
    with open_channel(balancer) as channel:
        assert 7 == _counted(channel, 10)


def test_backends_come_and_go_and_calls_run_on(ring):
    """A call at a backend that left is answered, and its channel closed after it."""
    first, second = ring(first=Delay(0.2, b"first"), second=b"second")
    balancer, dialled = Balancer("t", [first], RoundRobin()), Dialled()
    with open_channel(balancer, dial=dialled) as channel:
        running = _stub(channel).future(b"q")
        channel.update([second])
        assert "second" == _use(channel)
        assert {"first": 1, "second": 1} == dialled.open
        assert "first" == running.result(5)
        _until(lambda: not dialled.open["first"])
        channel.update([first])

        assert {"first": 1, "second": 0} == dialled.open
    assert 0 == dialled.open.total()


def test_calls_go_on_while_the_list_changes(ring):
    """Threads that call see no error, and no channel is left open."""
    backends = ring(a=b"a", b=b"b", c=b"c")
    balancer, dialled = Balancer("t", backends, RoundRobin()), Dialled()
    errors, stop = [], threading.Event()

    def calling(channel):
        stub = _stub(channel)
        while not stop.is_set():
            try:
                stub(b"q")
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told
                errors.append(error)

    with open_channel(balancer, dial=dialled) as channel:
        threads = [threading.Thread(target=calling, args=[channel]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(60):
            channel.update([backends[turn % 3], backends[(turn + 1) % 3]])
            _use(channel)
        stop.set()
        for thread in threads:
            thread.join(10)
        assert [] == errors
        assert 2 == dialled.open.total()
    assert 0 == dialled.open.total()


def test_close_releases_everything(ring):
    """Calls are cut off, at those who left too; none is taken any more."""
    first, second = ring(first=Hang(), second=Hang())
    balancer, dialled = Balancer("t", [first], RoundRobin()), Dialled()
    channel = open_channel(balancer, dial=dialled)
    (node,) = balancer.nodes
    calls = [_stub(channel).future(b"q")]
    channel.update([second])
    calls.append(_stub(channel).future(b"q"))
    channel.close()

    assert all(isinstance(call.exception(5), grpc.RpcError) for call in calls) or all(
        call.cancelled() for call in calls
    )
    _until(lambda: _idle(balancer) and not node.pending)
    assert 0 == dialled.open.total()
    with pytest.raises(ValueError, match="closed"):
        _use(channel)
    with pytest.raises(ValueError, match="closed"):
        channel.update([first])
    assert _idle(balancer)


def test_one_state_is_told_for_all(ring):
    """Who subscribes hears when the best state changes, of new backends too."""
    balancer = Balancer("t", [], RoundRobin())
    states = []
    with open_channel(balancer) as channel:
        channel.subscribe(states.append, try_to_connect=True)
        channel.update(ring(a=b"a", b=b"b"))
        _use(channel)
        _until(lambda: READY in states)
        _use(channel)
        grpc.channel_ready_future(channel).result(5)
        assert 1 == states.count(READY)
        channel.unsubscribe(states.append)

        assert {} == channel._states._watched


def test_a_subscriber_connects_when_it_asks_to(ring):
    """grpc's own way to wait until a channel is ready, without a call."""
    with open_channel(Balancer("t", ring(a=b"a"), RoundRobin())) as channel:
        quiet = []
        channel.subscribe(quiet.append)
        grpc.channel_ready_future(channel).result(5)

        _until(lambda: READY in quiet)


def test_a_dropped_stream_gives_its_place_back():
    """A stream that its caller forgot half-read is no call in flight."""
    method = "/t.T/unary_stream"
    script = {method: Script([[b"a", Hang()]])}
    with scripted_server(script, kinds=METHODS) as server:
        backends = [Backend(name="a", address=server.address)]
        balancer = Balancer("t", backends, RoundRobin())
        with open_channel(balancer) as channel:
            call = channel.unary_stream(method)(b"q")
            assert b"a" == next(call)
            assert not _idle(balancer)
            del call
            gc.collect()
            _until(lambda: _idle(balancer))


def test_no_backend_is_told_as_unavailable():
    """A target without backends refuses, as an RpcError that says so."""
    with (
        open_channel(Balancer("t", [], RoundRobin())) as channel,
        pytest.raises(resilience.NoBackendError) as raised,
    ):
        _use(channel)

    assert isinstance(raised.value, grpc.RpcError)
    assert grpc.StatusCode.UNAVAILABLE is raised.value.code()
