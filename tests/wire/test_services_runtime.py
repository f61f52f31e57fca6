"""The runtime on the wire: bounds, health, reflection, TLS, errors, drains."""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cockroach.pools import GatewayPool
from cockroach.topology import Gateway
from lab import authority, profiles
from observability import names
from protos.shop.v1 import orders_pb2, orders_pb2_grpc
from protos.shop.v1 import recommendations_pb2 as pb
from protos.shop.v1 import recommendations_pb2_grpc as pb_grpc
from services.runtime.errors import ShopError, reason_of
from services.runtime.server import ListenError
from services.runtime.settings import Tls
from services.runtime.testing import Running, environment, serving, write_policies
from services.runtime.tls import channel_credentials

CURED = profiles.values(profiles.cures_of("cured"))
NAME = "shop.v1.Recommendations"


class Scripted(pb_grpc.RecommendationsServicer):
    """Does what a test tells it to."""

    def __init__(self) -> None:
        self.act = None
        self.entered = asyncio.Event()

    async def Recommend(self, request, context):  # noqa: N802
        self.entered.set()
        if self.act is not None:
            return await self.act(request, context)
        return pb.RecommendResponse(product_ids=["P0001"])


@pytest.fixture
def script() -> Scripted:
    return Scripted()


@pytest.fixture
def bootstrap(script):
    def start(runtime):
        runtime.serve(NAME, pb_grpc.add_RecommendationsServicer_to_server, script)

    return start


@pytest.fixture
async def service(tmp_path: Path, bootstrap) -> AsyncIterator[Running]:
    environ = environment(
        "recommendations",
        tmp_path,
        policies=CURED,
        MAX_MESSAGE_BYTES="4096",
        MAX_METADATA_BYTES="4096",
        MAX_CONCURRENT="2",
        METRICS_LISTEN="127.0.0.1:0",
    )
    async with serving(environ, bootstrap) as running:
        yield running


@pytest.fixture
def stub(service: Running):
    return pb_grpc.RecommendationsStub(service.channel)


GATEWAY = Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=1)


async def connect(_gateway, *, expires_at):
    return SimpleNamespace(expires_at=expires_at, usable=True)


async def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


async def status_of(call) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, reason_of(caught.value)


async def test_every_service_and_the_process_are_healthy(service: Running):
    """The standard health protocol knows the process and each service on it."""
    stub = health_pb2_grpc.HealthStub(service.channel)
    for name in ("", NAME):
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    unknown = stub.Check(health_pb2.HealthCheckRequest(service="shop.v1.Nobody"))
    assert ("NOT_FOUND", "") == await status_of(unknown)


async def test_reflection_lists_and_describes(service: Running):
    """A client without our protos learns services and messages from the server."""
    stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=NAME),
    ]
    listed, described = [one async for one in stub.ServerReflectionInfo(iter(asked))]

    assert {one.name for one in listed.list_services_response.service} == {
        NAME,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    files = described.file_descriptor_response.file_descriptor_proto
    assert any(b"RecommendRequest" in one for one in files)


async def test_a_message_past_the_bound_is_refused(stub):
    """An oversize request is RESOURCE_EXHAUSTED before any code of ours sees it."""
    large = pb.RecommendRequest(product_ids=["P" * 100] * 50)

    assert (await status_of(stub.Recommend(large)))[0] == "RESOURCE_EXHAUSTED"


async def test_an_exhausted_pool_says_when_to_come_back(service, stub, script):
    """A bounded wait for a connection ends as RESOURCE_EXHAUSTED with RetryInfo.

    What it says is on the server's span too.
    """
    exporter = InMemorySpanExporter()
    service.process.telemetry.provider.add_span_processor(SimpleSpanProcessor(exporter))
    pool = GatewayPool(GATEWAY, connect, size=1, overflow=0, timeout_s=0.02)
    await pool.acquire()

    async def ask(_request, _context):
        await pool.acquire()

    script.act = ask
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Recommend(pb.RecommendRequest())
    retry = error_details_pb2.RetryInfo()
    details = rpc_status.from_call(caught.value).details

    assert "RESOURCE_EXHAUSTED" == caught.value.code().name
    assert "POOL_EXHAUSTED" == reason_of(caught.value)
    assert any(one.Unpack(retry) for one in details)
    assert 500 <= retry.retry_delay.ToMilliseconds() <= 1500
    assert 1 == pool.stats().exhausted
    await until(exporter.get_finished_spans)
    (span,) = exporter.get_finished_spans()
    assert span.attributes[names.RPC_STATUS] == "RESOURCE_EXHAUSTED"
    assert span.attributes[names.RETRY_AFTER_MS] == retry.retry_delay.ToMilliseconds()


async def test_metadata_past_the_bound_is_refused(stub, script):
    """Oversize metadata is RESOURCE_EXHAUSTED, at its bound and not at random."""
    for _ in range(5):
        call = stub.Recommend(pb.RecommendRequest(), metadata=[("x-big", "x" * 5000)])
        assert (await status_of(call))[0] == "RESOURCE_EXHAUSTED"
    assert not script.entered.is_set()
    await stub.Recommend(pb.RecommendRequest(), metadata=[("x-fits", "x" * 2000)])


async def test_more_calls_than_allowed_are_refused(stub, script):
    """The bound on concurrent calls refuses the next one, and says so."""
    go, entered = asyncio.Event(), []

    async def wait(request, context):
        entered.append(request)
        await go.wait()
        return pb.RecommendResponse()

    script.act = wait
    running = [stub.Recommend(pb.RecommendRequest()) for _ in range(2)]
    held = [asyncio.ensure_future(one.code()) for one in running]
    await until(lambda: len(entered) == 2)

    refused = await status_of(stub.Recommend(pb.RecommendRequest()))
    go.set()

    assert refused[0] == "RESOURCE_EXHAUSTED"
    assert [grpc.StatusCode.OK] * 2 == await asyncio.gather(*held)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            ShopError(grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", "no"),
            ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED"),
        ),
        (ZeroDivisionError("x = 1 / 0"), ("INTERNAL", "INTERNAL")),
    ],
)
async def test_no_error_leaves_without_details(stub, script, error, expected):
    """Expected and unexpected errors are a status with ErrorInfo, never a trace."""

    async def fail(request, context):
        raise error

    script.act = fail
    call = stub.Recommend(pb.RecommendRequest())

    assert expected == await status_of(call)
    assert rpc_status.from_call(await failure(call)).message == await call.details()
    assert "1 / 0" not in await call.details()


async def failure(call) -> grpc.aio.AioRpcError:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")


async def test_a_caller_who_leaves_cancels_the_handler(stub, script):
    """Cancellation passes through the edge as what it is."""
    seen = []

    async def wait(request, context):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    script.act = wait
    call = stub.Recommend(pb.RecommendRequest())
    await asyncio.wait_for(script.entered.wait(), 5)
    call.cancel()

    await until(lambda: seen == ["cancelled"])


async def test_metrics_count_calls_by_method_and_status(stub, service: Running):
    """`/metrics` has rate, errors and duration of what was served."""
    await stub.Recommend(pb.RecommendRequest())
    address = service.process.metrics_address
    text = await asyncio.to_thread(
        lambda: urllib.request.urlopen(f"http://{address}/metrics").read().decode()
    )

    counted = (
        'seawall_requests_total{code="OK",method="shop.v1.Recommendations/Recommend"}'
    )
    assert f"{counted} 1.0" in text
    assert "seawall_request_duration_seconds_bucket" in text


async def test_a_policy_file_is_picked_up_without_a_restart(
    service: Running, tmp_path: Path
):
    """A new snapshot is in force soon after it was written; a bad one never is."""
    path = tmp_path / "policies.json"
    policies = service.process.runtime.policies
    write_policies(path, CURED | {"stale_s": 12.0}, version=2)

    await until(lambda: policies().stale_s == 12.0)

    path.write_text(json.dumps({"values": CURED | {"stale_s": "long"}}))
    write_policies(path, CURED | {"stale_s": 13.0}, version=3)

    await until(lambda: policies().stale_s == 13.0)


async def test_a_taken_port_is_said(service: Running, tmp_path: Path, bootstrap):
    """Two processes never share a port; the second one is told which is taken."""
    environ = environment(
        "recommendations", tmp_path / "second", policies=CURED, LISTEN=service.address
    )

    with pytest.raises(ListenError, match=service.address):
        async with serving(environ, bootstrap):
            pass


async def test_mutual_tls_serves_friends_and_refuses_strangers(
    tmp_path: Path, bootstrap
):
    """Only a certificate of the same authority gets in, in either direction."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        authority.make(folder, days=1)
    environ = environment(
        "recommendations",
        tmp_path,
        policies=CURED,
        TLS_CERT=str(ours / "server.crt"),
        TLS_KEY=str(ours / "server.key"),
        TLS_CA=str(ours / "ca.crt"),
    )

    def client(certificates: Path, trusts: Path) -> grpc.ChannelCredentials:
        return channel_credentials(
            Tls(
                cert=certificates / "client.crt",
                key=certificates / "client.key",
                ca=trusts / "ca.crt",
            )
        )

    async with serving(environ, bootstrap, client(ours, ours)) as running:
        friend = pb_grpc.RecommendationsStub(running.channel)
        reply = await friend.Recommend(pb.RecommendRequest())
        assert list(reply.product_ids) == ["P0001"]
        anonymous = grpc.ssl_channel_credentials((ours / "ca.crt").read_bytes())
        strangers = {
            "no certificate": grpc.aio.secure_channel(running.address, anonymous),
            "another authority": grpc.aio.secure_channel(
                running.address, client(theirs, ours)
            ),
            "trusts another": grpc.aio.secure_channel(
                running.address, client(ours, theirs)
            ),
            "no TLS": grpc.aio.insecure_channel(running.address),
        }
        for who, channel in strangers.items():
            async with channel:
                call = pb_grpc.RecommendationsStub(channel).Recommend(
                    pb.RecommendRequest(), timeout=5
                )
                assert ("UNAVAILABLE", "") == await status_of(call), who


async def test_an_open_stream_does_not_hold_up_a_drain(tmp_path: Path):
    """A stream ends with UNAVAILABLE (DRAINING), so its reader asks elsewhere."""
    order = orders_pb2.Order(order_id="eu-1")

    class Watching(orders_pb2_grpc.OrdersServicer):
        async def WatchOrder(self, request, context):  # noqa: N802
            yield orders_pb2.WatchOrderResponse(order=order)
            await asyncio.Event().wait()

    def start(runtime):
        runtime.serve(
            "shop.v1.Orders", orders_pb2_grpc.add_OrdersServicer_to_server, Watching()
        )

    Watching.__abstractmethods__ = frozenset()
    environ = environment("orders", tmp_path, policies=CURED, DRAIN_S="30")
    async with serving(environ, start) as running:
        call = orders_pb2_grpc.OrdersStub(running.channel).WatchOrder(
            orders_pb2.WatchOrderRequest()
        )
        first = await call.read()
        began = time.monotonic()
        stopping = asyncio.ensure_future(running.process.stop())
        refused = await status_of(call.read())
        await stopping

    assert first.order == order
    assert refused == ("UNAVAILABLE", "DRAINING")
    assert time.monotonic() - began < 10
