"""Metrics, logs and events of one process."""

import enum
import io
import json
import logging
from dataclasses import dataclass, field

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest

import resilience
from observability import names
from observability.attempts import AttemptSpans
from observability.events import EventRecorder
from observability.export import SpanCounts
from observability.logs import JsonFormatter, redact, setup_logging
from observability.metrics import Metrics
from resilience import Outcome


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


class Mood(enum.Enum):
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    calls: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    name: str = "catalog@eu"
    new: str = "open"
    mood: Mood = Mood.BAD
    nothing: str | None = None
    metrics: Inner = field(default_factory=Inner)


def test_an_event_lands_on_the_current_span_and_is_counted(tracer, finished):
    """An event's fields become attributes, its class gives the name."""
    metrics = Metrics()
    with tracer.start_as_current_span("call"):
        EventRecorder(tracer, metrics).on_event(BreakerChanged())

    (event,) = finished.get_finished_spans()[0].events
    assert event.name == names.EVENT_BREAKER_CHANGED
    assert dict(event.attributes) == {
        "name": "catalog@eu",
        "new": "open",
        "mood": "bad",
        "metrics": '{"calls": 4}',
    }
    assert 'event="seawall.breaker.changed",target="catalog@eu"} 1.0' in text(metrics)


def test_an_event_outside_of_any_span_gets_its_own(tracer, finished):
    """A breaker that changes on a timer is seen all the same."""
    EventRecorder(tracer).on_event(BreakerChanged())

    (span,) = finished.get_finished_spans()
    assert names.EVENT_BREAKER_CHANGED == span.name == span.events[0].name


def test_every_event_of_the_policies_has_a_name():
    """No policy can report something that the registry does not know."""
    reported = {
        name
        for name in dir(resilience._events)
        if isinstance(getattr(resilience._events, name), type)
        and getattr(resilience._events, name).__module__ == "resilience._events"
    } - {"Listener", "BreakerMetrics"}

    # The data layer reports one of its own.
    assert set(names.EVENTS) == {*reported, "GatewayEjected"}


def test_an_attempt_becomes_the_parent_on_the_wire(tracer, finished):
    """The metadata's trace context is the attempt's, whatever stood there before."""
    metadata = [("x", "1"), ("traceparent", "old"), ("tracestate", "old")]
    with tracer.start_as_current_span("call") as call:
        attempt = AttemptSpans(tracer, remaining=lambda: 0.25).attempt_started(
            "orders@eu", "/shop.v1.Orders/PlaceOrder", 2, metadata
        )
        attempt.finished(
            Outcome(code="UNAVAILABLE", latency_s=0.1, refusal="breaker_open")
        )
        attempt.finished(Outcome(code="OK", latency_s=0.1))

    span = finished.get_finished_spans()[0]
    sent = dict(metadata)
    assert [key for key, _ in metadata] == ["x", "traceparent"]
    assert f"{span.context.span_id:016x}" == sent["traceparent"].split("-")[2]
    assert call.get_span_context().span_id == span.parent.span_id
    assert span.attributes[names.PREVIOUS_ATTEMPTS] == 1
    assert span.attributes[names.DEADLINE_REMAINING_MS] == 250.0
    assert span.attributes[names.RPC_STATUS] == "UNAVAILABLE"
    assert span.attributes[names.REFUSAL] == "breaker_open"
    assert trace.StatusCode.ERROR is span.status.status_code


def test_an_attempt_without_a_code_was_cancelled(tracer, finished):
    """A cancelled attempt ends with a status of its own."""
    attempt = AttemptSpans(tracer).attempt_started("t", "/a.B/C", 1, [])
    attempt.finished(Outcome(code=None, latency_s=0.1, cancelled_by="caller"))

    attributes = finished.get_finished_spans()[0].attributes
    assert attributes[names.RPC_STATUS] == "CANCELLED"
    assert attributes[names.CANCELLED_BY] == "caller"


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
