"""The adapters on real calls."""

import asyncio

import grpc
import pytest
from grpc import aio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

import resilience
from resilience import BreakerConfig, ClientPolicy, RetryConfig
from resilience._fanout import Listeners, Observers
from resilience.contrib.opentelemetry import AttemptSpans, SpanEvents
from resilience.contrib.prometheus import PrometheusEvents
from resilience.testing import Script

pytestmark = pytest.mark.resilience

POLICY = ClientPolicy(
    target="hop",
    retry=RetryConfig(attempts=2, backoff_s=0.001, backoff_max_s=0.001),
    breaker=BreakerConfig(min_calls=3, window_size=3, open_s=60.0),
)
CALL = {"grpc_method": "h.Hop/Go", "grpc_target": "hop"}


@pytest.fixture
def watched():
    """Metrics, finished spans, and what watches for both."""
    finished = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    tracer = provider.get_tracer("test")
    registry = CollectorRegistry()
    metrics = PrometheusEvents(registry=registry)
    options = {
        "listener": Listeners(SpanEvents(tracer), metrics),
        "observer": Observers(AttemptSpans(tracer), metrics),
    }
    return registry, finished, options


def check(registry, finished):
    """Three attempts opened the breaker, which refused a retry and a call."""
    value = registry.get_sample_value
    assert value("grpc_client_attempt_started_total", CALL) == 3.0
    count = "grpc_client_attempt_duration_seconds_count"
    assert value(count, {**CALL, "grpc_status": "UNAVAILABLE"}) == 3.0
    assert value("resilience_retries_total", CALL) == 2.0
    policy = {**CALL, "policy": "breaker_open"}
    assert value("resilience_refusals_total", policy) == 2.0
    state = {"breaker": "hop/h.Hop/Go", "state": "open"}
    assert value("resilience_breaker_state", state) == 1.0

    spans = finished.get_finished_spans()
    before = [span.attributes.get("previous-rpc-attempts") for span in spans]
    assert [count for count in before if count is not None] == [0, 1, 0]
    names = [span.name for span in spans]
    assert "seawall.breaker.changed" in names
    assert "seawall.call.refused" in names


async def test_aio_calls_are_spans_and_metrics(hops, watched):
    """Each attempt, retry, transition and refusal is told once by both adapters."""
    registry, finished, options = watched
    address = await hops.leaf(Script(["UNAVAILABLE"]))
    stub = await hops.dial(address, POLICY, **options)

    for _ in range(3):
        with pytest.raises(aio.AioRpcError):
            await stub(b"", timeout=10)

    check(registry, finished)


async def test_blocking_calls_are_spans_and_metrics(hops, watched):
    """The same from the blocking interceptors."""
    registry, finished, options = watched
    address = await hops.leaf(Script(["UNAVAILABLE"]))

    def calls():
        with grpc.insecure_channel(address) as plain:
            ours = resilience.client_interceptors(POLICY, **options)
            stub = grpc.intercept_channel(plain, *ours).unary_unary("/h.Hop/Go")
            for _ in range(3):
                with pytest.raises(grpc.RpcError):
                    stub(b"", timeout=10)

    await asyncio.to_thread(calls)

    check(registry, finished)
