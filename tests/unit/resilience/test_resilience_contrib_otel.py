"""The policies in OpenTelemetry's traces."""

import enum
import importlib
from dataclasses import dataclass, field

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import resilience
from observability import names as registry
from resilience import BackendPicked, Outcome, deadline_scope
from resilience.contrib import _names as ours
from resilience.contrib.opentelemetry import AttemptSpans, SpanEvents

pytestmark = pytest.mark.resilience


@pytest.fixture
def finished():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(finished):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    return provider.get_tracer("test")


def test_an_attempt_ends_once(tracer, finished, caplog):
    """A second outcome changes nothing, and the SDK has nothing to complain of."""
    attempt = AttemptSpans(tracer).attempt_started("t", "/a.B/C", 1, [])
    attempt.finished(Outcome(code="OK", latency_s=0.1))
    attempt.finished(Outcome(code="INTERNAL", latency_s=0.1))

    (span,) = finished.get_finished_spans()
    assert span.attributes["rpc.response.status_code"] == "OK"
    assert [] == caplog.records


def test_an_attempt_becomes_the_parent_on_the_wire(tracer, finished):
    """The metadata's trace context is the attempt's, whatever stood there before."""
    metadata = [("x", "1"), ("traceparent", "old"), ("tracestate", "old")]
    with tracer.start_as_current_span("call") as call, deadline_scope(0.25):
        attempt = AttemptSpans(tracer).attempt_started(
            "orders@eu", "/shop.v1.Orders/PlaceOrder", 2, metadata
        )
        attempt.finished(
            Outcome(
                code="UNAVAILABLE",
                latency_s=0.1,
                refusal="breaker_open",
                origin="payments@eu",
            )
        )

    span = finished.get_finished_spans()[0]
    assert [key for key, _ in metadata] == ["x", "traceparent"]
    sent = dict(metadata)["traceparent"].split("-")
    assert f"{span.context.span_id:016x}" == sent[2]
    assert call.get_span_context().span_id == span.parent.span_id
    left = span.attributes["seawall.deadline.remaining_ms"]
    assert 0 < left <= 250.0
    assert dict(span.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": "shop.v1.Orders/PlaceOrder",
        "rpc.response.status_code": "UNAVAILABLE",
        "error.type": "UNAVAILABLE",
        "previous-rpc-attempts": 1,
        "seawall.target": "orders@eu",
        "seawall.refusal": "breaker_open",
        "seawall.origin": "payments@eu",
        "seawall.deadline.remaining_ms": left,
    }
    assert ("attempt", "CLIENT") == (span.name, span.kind.name)
    assert trace.StatusCode.ERROR is span.status.status_code


def test_an_attempt_may_be_named_as_grpc_names_it(tracer, finished):
    """gRFC A72: Attempt, and the method with dots for slashes."""
    observer = AttemptSpans(tracer, grpc_names=True)
    observer.attempt_started("t", "/a.B/C", 1, []).finished(
        Outcome(code="OK", latency_s=0.1)
    )

    (span,) = finished.get_finished_spans()
    assert span.name == "Attempt.a.B.C"
    assert trace.StatusCode.UNSET is span.status.status_code
    assert span.attributes["rpc.response.status_code"] == "OK"


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(code=None, latency_s=0.1, cancelled_by="caller"), "CANCELLED"),
        (Outcome(code=None, latency_s=0.1), "UNKNOWN"),
        (
            Outcome(code="DEADLINE_EXCEEDED", latency_s=0.1, cancelled_by="deadline"),
            "DEADLINE_EXCEEDED",
        ),
    ],
)
def test_an_attempt_without_a_code_has_a_status_all_the_same(
    tracer, finished, outcome, code
):
    """A cancelled attempt, or one that never got a status, is told apart."""
    AttemptSpans(tracer).attempt_started("t", "/a.B/C", 1, []).finished(outcome)

    attributes = finished.get_finished_spans()[0].attributes
    assert attributes["rpc.response.status_code"] == code
    assert attributes.get("seawall.cancelled_by") == outcome.cancelled_by


def test_an_attempt_that_is_not_sampled_still_tells_the_server():
    """The decision not to record travels on, so that the trace stays whole."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    metadata = []
    attempt = AttemptSpans(provider.get_tracer("test")).attempt_started(
        "t", "/a.B/C", 1, metadata
    )
    attempt.finished(Outcome(code="OK", latency_s=0.1))

    flags = int(dict(metadata)["traceparent"].rpartition("-")[2], 16)
    assert 0 == flags & 1


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
    scores: dict[str, float] = field(default_factory=lambda: {"a": 0.5})
    codes: tuple[str, ...] = ("X",)


@dataclass(frozen=True, slots=True, kw_only=True)
class TideTurned:
    height_m: float = 1.5


def test_an_event_lands_on_the_current_span(tracer, finished):
    """An event's fields become attributes, its class gives the name."""
    with tracer.start_as_current_span("call"):
        SpanEvents(tracer).on_event(BreakerChanged())

    (event,) = finished.get_finished_spans()[0].events
    assert event.name == "seawall.breaker.changed"
    assert dict(event.attributes) == {
        "name": "catalog@eu",
        "new": "open",
        "mood": "bad",
        "metrics": '{"calls": 4}',
        "scores": '{"a": 0.5}',
        "codes": "('X',)",
    }


def test_an_event_outside_of_any_span_gets_its_own(tracer, finished):
    """A breaker that changes on a timer is seen all the same."""
    SpanEvents(tracer).on_event(BreakerChanged())

    (span,) = finished.get_finished_spans()
    assert "seawall.breaker.changed" == span.name == span.events[0].name


def test_a_pick_outside_of_any_span_makes_none(tracer, finished):
    """What happens once per call never floods the traces with lone spans."""
    SpanEvents(tracer).on_event(
        BackendPicked(
            target="t",
            method="/a.B/C",
            policy="p2c",
            backend="b",
            reason="r",
            candidates={"b": 1.0},
        )
    )

    assert finished.get_finished_spans() == ()


def test_further_events_can_be_named(tracer, finished):
    """A program's own events go the same way, named or by their class."""
    named = SpanEvents(tracer, {"TideTurned": "sea.tide.turned"})
    with tracer.start_as_current_span("call"):
        named.on_event(TideTurned())
        SpanEvents(tracer).on_event(TideTurned())

    told = finished.get_finished_spans()[0].events
    assert [event.name for event in told] == ["sea.tide.turned", "seawall.TideTurned"]
    assert dict(told[0].attributes) == {"height_m": 1.5}


def test_every_event_has_a_name():
    """No event of the policies leaves under the name of its class."""
    events = importlib.import_module("resilience._events")
    classes = {
        name
        for name, value in vars(events).items()
        if isinstance(value, type) and value.__module__ == events.__name__
    } - {"Listener", "BreakerMetrics"}

    assert classes == set(SpanEvents.EVENTS)
    assert classes <= set(resilience.__all__)


def test_names_agree_with_the_registry():
    """Spans of the policies carry the names under which the lab looks for them."""
    constants = {name for name in vars(ours) if name.isupper()} - {"EVENTS"}

    assert [] == [n for n in constants if getattr(ours, n) != getattr(registry, n)]
    assert dict(ours.EVENTS).items() <= dict(registry.EVENTS).items()
