"""gRPC's own policies from Python: what works, and what is refused."""

import contextlib
import json
import struct
from collections import Counter
from contextlib import AsyncExitStack

import grpc
import pytest
from grpc import aio

from resilience.native import (
    LoadReport,
    LoadReporter,
    NativeMethod,
    NativeRetry,
    OutlierDetection,
    PickFirst,
    RetryThrottling,
    RoundRobin,
    WeightedRoundRobin,
    aio_load_interceptor,
    channel_options,
    check_service_config,
    load_interceptor,
    service_config,
)
from resilience.server_handlers import rebuild
from resilience.testing import (
    Fail,
    FakeClock,
    Script,
    aio_scripted_server,
    scripted_server,
)

pytestmark = pytest.mark.resilience

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
METHODS = {f"/t.T/{kind}": kind for kind in KINDS}


@pytest.fixture
async def ring():
    """ring((name, step, utilization), ...): one target address over all of them."""
    async with AsyncExitStack() as stack:

        async def make(*servers):
            addresses = []
            for name, step, load in servers:
                script = Script([step or name.encode()])
                reporter = LoadReporter(lambda load=load: load)
                server = await stack.enter_async_context(
                    aio_scripted_server(
                        {"/t.T/Go": script},
                        interceptors=[aio_load_interceptor(reporter)],
                    )
                )
                addresses.append(server.address)
            return "ipv4:" + ",".join(addresses)

        yield make


async def _ask(channel, count, found):
    stub = channel.unary_unary("/t.T/Go")
    for _ in range(count):
        try:
            found[await stub(b"", wait_for_ready=True)] += 1
        except aio.AioRpcError:
            found["failed"] += 1


async def test_weights_follow_what_servers_report(ring):
    """Utilisation .9 against .1: the idle one gets about nine times as much."""
    target = await ring(("busy", None, 0.9), ("idle", None, 0.1))
    config = service_config(balancing=WeightedRoundRobin(blackout_s=0.01, update_s=0.1))
    found = Counter()
    async with aio.insecure_channel(target, options=channel_options(config)) as channel:
        # The weights are taken from the answers, about every tenth of a second.
        for _ in range(40):
            found.clear()
            await _ask(channel, 50, found)
            if found[b"busy"] <= 7:
                break

    assert 3 <= found[b"busy"] <= 7
    assert 43 <= found[b"idle"] <= 47


async def test_native_outlier_detection_ejects(ring):
    """A backend that always fails gets no calls after a sweep."""
    target = await ring(("bad", "UNAVAILABLE", 0), ("good", None, 0))
    config = service_config(
        balancing=OutlierDetection(
            interval_s=0.1,
            base_ejection_s=30,
            max_ejection_percent=50,
            success_rate_stdev_factor=None,
            failure_percentage_threshold=50,
            minimum_hosts=1,
            request_volume=3,
        )
    )
    async with aio.insecure_channel(target, options=channel_options(config)) as channel:
        for _ in range(40):
            found = Counter()
            await _ask(channel, 20, found)
            if not found["failed"]:
                break

    assert {b"good": 20} == dict(found)


@pytest.mark.parametrize(("throttling", "most"), [(None, 80), (RetryThrottling(), 25)])
async def test_native_retries_are_throttled(ring, throttling, most):
    """Twenty failing calls of four attempts: 80 at the server, some 23 throttled."""
    script = Script(["UNAVAILABLE"])
    config = service_config(
        methods={"": NativeMethod(retry=NativeRetry(attempts=4, backoff_s=0.01))},
        retry_throttling=throttling,
    )
    async with (
        aio_scripted_server({"/t.T/Go": script}) as server,
        aio.insecure_channel(
            server.address, options=channel_options(config)
        ) as channel,
    ):
        await _ask(channel, 20, Counter())

    assert 20 < script.total <= most
    assert (script.total == 80) == (throttling is None)


class _SpyContext:
    """Sees the trailers that are sent; gRPC's client takes the report out of them."""

    def __init__(self, context, spy):
        self._context, self._spy = context, spy

    def __getattr__(self, name):
        return getattr(self._context, name)

    def set_trailing_metadata(self, metadata):
        self._spy.sent = metadata
        self._context.set_trailing_metadata(metadata)


class _AioSpyContext(_SpyContext):
    async def abort(self, code, details="", trailing_metadata=()):
        self._spy.sent = trailing_metadata
        await self._context.abort(code, details, trailing_metadata)


class _AioSpy(aio.ServerInterceptor):
    sent = ()

    async def intercept_service(self, continuation, handler_call_details):
        handler = await continuation(handler_call_details)

        def around(behaviour):
            async def served(request, context):
                return await behaviour(request, _AioSpyContext(context, self))

            async def streamed(request, context):
                async for one in behaviour(request, _AioSpyContext(context, self)):
                    yield one

            return streamed if handler.response_streaming else served

        return rebuild(handler, around)


class _Spy(grpc.ServerInterceptor):
    sent = ()

    def intercept_service(self, continuation, handler_call_details):
        return rebuild(
            continuation(handler_call_details),
            lambda behaviour: (
                lambda request, context: behaviour(request, _SpyContext(context, self))
            ),
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [b"answer", Fail("ABORTED", trailers=(("own", "x"),))])
async def test_every_aio_answer_carries_the_load(kind, step):
    """All four kinds, answered and aborted, beside the handler's own trailers."""
    scripts = {f"/t.T/{kind}": Script([[step] if kind.endswith("stream") else step])}
    reporter, spy = LoadReporter(lambda: 0.5), _AioSpy()
    async with (
        aio_scripted_server(
            scripts, kinds=METHODS, interceptors=[spy, aio_load_interceptor(reporter)]
        ) as server,
        aio.insecure_channel(server.address) as channel,
    ):
        stub = getattr(channel, kind)(f"/t.T/{kind}")
        call = stub(iter([b"q"]) if kind.startswith("stream") else b"q")
        if kind.endswith("stream"):
            with contextlib.suppress(aio.AioRpcError):
                assert [b"answer"] == [message async for message in call]
        await call.code()

    sent = dict(spy.sent)
    assert sent["endpoint-load-metrics-bin"].endswith(struct.pack("<d", 0.5))
    assert ("own" in sent) == isinstance(step, Fail)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [b"answer", Fail("ABORTED", trailers=(("own", "x"),))])
def test_every_blocking_answer_carries_the_load(kind, step):
    """The same for blocking servers."""
    scripts = {f"/t.T/{kind}": Script([[step] if kind.endswith("stream") else step])}
    reporter, spy = LoadReporter(lambda: 0.5), _Spy()
    with (
        scripted_server(
            scripts, kinds=METHODS, interceptors=[spy, load_interceptor(reporter)]
        ) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = getattr(channel, kind)(f"/t.T/{kind}")
        request = iter([b"q"]) if kind.startswith("stream") else b"q"
        call = stub(request) if kind.endswith("stream") else stub.future(request)
        if kind.endswith("stream"):
            with contextlib.suppress(grpc.RpcError):
                assert [b"answer"] == list(call)
        call.code()

    sent = dict(spy.sent)
    assert sent["endpoint-load-metrics-bin"].endswith(struct.pack("<d", 0.5))
    assert ("own" in sent) == isinstance(step, Fail)


def test_a_report_is_a_protobuf_message():
    """Fields 1, 2, 6, 7 and 9 as doubles; zeros are left out."""
    report = LoadReport(cpu=0.25, requests_per_s=10.0, utilization=0.5)
    expected = (
        b"\x09" + struct.pack("<d", 0.25) + b"\x31" + struct.pack("<d", 10.0)
    ) + (b"\x49" + struct.pack("<d", 0.5))

    assert expected == report.encode()


def test_rates_are_of_the_window():
    """Ten requests in ten seconds are one a second, and are forgotten later."""
    clock = FakeClock()
    reporter = LoadReporter(lambda: 0.0, clock=clock)
    for n in range(20):
        clock.advance(0.5)
        reporter.ended(ok=n % 2 == 0)
    found = reporter.report()
    assert (found.requests_per_s, found.errors_per_s) == pytest.approx(
        (2.0, 1.0), rel=0.15
    )
    clock.advance(30)

    assert 0 == reporter.report().requests_per_s


def test_the_whole_config_is_grpcs_json():
    """Names, durations and nesting as gRPC's service config has them."""
    text = service_config(
        balancing=OutlierDetection(child=WeightedRoundRobin()),
        methods={
            "/pkg.Svc/Get": NativeMethod(timeout_s=1.5, retry=NativeRetry()),
            "pkg.Svc": NativeMethod(wait_for_ready=True),
        },
        retry_throttling=RetryThrottling(),
        health_service="pkg.Svc",
    )
    config = json.loads(text)

    get, service = config["methodConfig"]
    assert [{"service": "pkg.Svc", "method": "Get"}] == get["name"]
    assert "1.5s" == get["timeout"]
    assert ["UNAVAILABLE"] == get["retryPolicy"]["retryableStatusCodes"]
    assert {"name": [{"service": "pkg.Svc"}], "waitForReady": True} == service
    (outliers,) = config["loadBalancingConfig"]
    detection = outliers["outlier_detection_experimental"]
    assert "weighted_round_robin" in detection["childPolicy"][0]
    assert {"maxTokens": 10, "tokenRatio": 0.1} == config["retryThrottling"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: check_service_config(
                '{"methodConfig": [{"hedgingPolicy": {"maxAttempts": 3}}]}'
            ),
            "ignores hedgingPolicy",
        ),
        (
            lambda: check_service_config(
                '{"methodConfig": [{"retryPolicy": {"maxAttempts": 9}}]}'
            ),
            "above 5 as 5",
        ),
        (
            lambda: check_service_config(
                '{"loadBalancingConfig": [{"least_request_experimental": {}}]}'
            ),
            "LeastLoaded",
        ),
        (
            lambda: check_service_config(
                '{"loadBalancingConfig": [{"ring_hash_experimental": {}}]}'
            ),
            "hash key",
        ),
        (
            lambda: check_service_config('{"loadBalancingConfig": [{"mine": {}}]}'),
            "knows no load balancing policy",
        ),
        (lambda: check_service_config("[]"), "JSON object"),
        (lambda: check_service_config("{"), "property name"),
        (lambda: service_config(health_service="x"), "pick_first"),
        (
            lambda: service_config(balancing=PickFirst(), health_service="x"),
            "pick_first",
        ),
        (lambda: OutlierDetection(child=PickFirst()), "ejects nothing"),
        (lambda: NativeRetry(attempts=6), "caps them"),
        (lambda: NativeRetry(backoff_s=0), "backoff_s"),
        (lambda: NativeRetry(retry_on=frozenset({"OK"})), "other than OK"),
        (lambda: RetryThrottling(max_tokens=1001), "1000"),
        (lambda: RetryThrottling(token_ratio=0.0001), "three decimals"),
        (
            lambda: channel_options(
                service_config(methods={"": NativeMethod(retry=NativeRetry())}),
                our_retries=True,
            ),
            "multiply",
        ),
    ],
)
def test_what_grpcio_would_ignore_is_refused(make, says):
    """Silence is no answer: each of these is refused with its reason."""
    with pytest.raises(ValueError, match=says):
        make()


def test_health_checks_go_with_round_robin():
    """gRFC A17 with a policy that does it."""
    text = service_config(balancing=RoundRobin(), health_service="pkg.Svc")

    assert {"serviceName": "pkg.Svc"} == json.loads(text)["healthCheckConfig"]
