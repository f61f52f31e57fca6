"""Metrics, logs and events of one process."""

import io
import json
import logging
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest

import resilience
from observability import names
from observability.events import EventCounter
from observability.export import SpanCounts
from observability.logs import JsonFormatter, redact, setup_logging
from observability.metrics import Metrics


@pytest.fixture
def finished():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(finished):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    return provider.get_tracer("test")


def text(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_requests_are_counted_by_method_and_code():
    """Rate, errors and duration of every method are told, and what is in flight."""
    metrics = Metrics()
    with metrics.request("shop.v1.Cart/GetCart") as code:
        assert 'in_flight{method="shop.v1.Cart/GetCart"} 1.0' in text(metrics)
        code.append("NOT_FOUND")

    shown = text(metrics)
    assert 'code="NOT_FOUND",method="shop.v1.Cart/GetCart"} 1.0' in shown
    assert 'in_flight{method="shop.v1.Cart/GetCart"} 0.0' in shown
    assert 'seconds_count{method="shop.v1.Cart/GetCart"} 1.0' in shown


def test_lost_spans_are_told_by_stage():
    """Each stage at which a span can be lost has its own count."""
    metrics = Metrics()
    metrics.watch_spans(lambda: SpanCounts(ended=9, dropped_queue=2, dropped_export=1))

    shown = text(metrics)
    assert 'seawall_spans_dropped_total{stage="queue"} 2.0' in shown
    assert 'seawall_spans_dropped_total{stage="export"} 1.0' in shown
    assert 'seawall_spans_dropped_total{stage="shutdown"} 0.0' in shown


def test_an_event_is_counted_by_name_and_target():
    """Each class of event has its name, each target its own count."""
    metrics = Metrics()
    counter = EventCounter(metrics)
    counter.on_event(BreakerChanged())
    counter.on_event(GatewayEjected())

    shown = text(metrics)
    assert 'event="seawall.breaker.changed",target="catalog@eu"} 1.0' in shown
    assert 'event="seawall.gateway.ejected",target=""} 1.0' in shown


def test_every_event_of_the_policies_has_a_name():
    """No policy can report something that the registry does not know."""
    reported = {
        name
        for name in dir(resilience._events)
        if isinstance(getattr(resilience._events, name), type)
        and getattr(resilience._events, name).__module__ == "resilience._events"
    } - {"Listener", "BreakerMetrics"}

    # The data layer reports two of its own.
    assert set(names.EVENTS) == {*reported, "GatewayEjected", "GatewayReturned"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    name: str = "catalog@eu"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayEjected:
    reason: str = "slow"


@pytest.fixture
def stream():
    """The root logger writes JSON here, and is as it was afterwards."""
    root = logging.getLogger()
    level = root.level
    stream = io.StringIO()
    handler = setup_logging(
        service="orders", region="eu", zone="a", instance="orders-eu-a", stream=stream
    )
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_log_line_joins_its_trace(tracer, stream):
    """A line carries trace and span id, its service and the extra fields."""
    with tracer.start_as_current_span("call") as span:
        logging.getLogger("shop").info("order %s", "o1", extra={"order": "o1"})
        context = span.get_span_context()

    line = json.loads(stream.getvalue())
    assert f"{context.trace_id:032x}" == line["trace_id"]
    assert f"{context.span_id:016x}" == line["span_id"]
    assert (
        line["message"],
        line["order"],
        line["service"],
        line["region"],
    ) == ("order o1", "o1", "orders", "eu")


def test_a_second_setup_replaces_the_first(stream):
    """Lines are never written twice."""
    setup_logging(
        service="cart", region="eu", zone="a", instance="cart-eu-a", stream=stream
    )
    logging.getLogger("shop").warning("once")

    assert len(stream.getvalue().splitlines()) == 1
    logging.getLogger().removeHandler(logging.getLogger().handlers[-1])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "postgresql://app:hunter2@127.0.0.1/shop",
            "postgresql://app:***@127.0.0.1/shop",
        ),
        ("password=hunter2 user=app", "password=*** user=app"),
        ("card tok_visa refused", "card *** refused"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_masked(text, masked):
    """What looks like a password or a card never reaches a log."""
    assert masked == redact(text)


def test_secret_fields_and_exceptions_are_masked():
    """Fields with telling names, nested ones too, and tracebacks are masked."""
    record = logging.makeLogRecord(
        {"msg": "m", "card_token": "tok_visa", "more": {"password": "x", "ok": [1]}}
    )
    error = ValueError("token=abc")
    record.exc_info = (ValueError, error, None)

    line = json.loads(JsonFormatter().format(record))
    assert line["card_token"] == "***"
    assert line["more"] == {"password": "***", "ok": [1]}
    assert "abc" not in line["exception"].splitlines()[-1]
