"""The policies in Prometheus: names as gRPC has them, labels within bounds."""

import importlib

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from resilience import (
    BackendEjected,
    BackendPicked,
    BackendReturned,
    BreakerChanged,
    BreakerMetrics,
    BreakerThresholdExceeded,
    CallCoalesced,
    CallRefused,
    DeadlineRefused,
    FallbackServed,
    FaultInjected,
    HedgeRefused,
    HedgeSent,
    LimitChanged,
    Outcome,
    RetryRefused,
    RetryScheduled,
)
from resilience.contrib.prometheus import PrometheusEvents

pytestmark = pytest.mark.resilience

CALL = {"target": "orders@eu", "method": "/shop.v1.Orders/Place"}
LABELS = 'grpc_method="shop.v1.Orders/Place",grpc_target="orders@eu"'


@pytest.fixture
def registry():
    return CollectorRegistry()


def shown(registry):
    return generate_latest(registry).decode()


def test_attempts_have_the_names_of_a66(registry):
    """gRFC A66 in Prometheus' spelling: started, and the duration by status."""
    metrics = PrometheusEvents(registry=registry)
    first = metrics.attempt_started(CALL["target"], CALL["method"], 1, [])
    first.finished(Outcome(code="UNAVAILABLE", latency_s=0.02))
    second = metrics.attempt_started(CALL["target"], CALL["method"], 2, [])
    second.finished(Outcome(code=None, latency_s=0.5, cancelled_by="caller"))

    text = shown(registry)
    assert f"grpc_client_attempt_started_total{{{LABELS}}} 2.0" in text
    sums = {
        line.partition('grpc_status="')[2].partition('"')[0]: line.split()[-1]
        for line in text.splitlines()
        if line.startswith("grpc_client_attempt_duration_seconds_sum{")
    }
    assert sums == {"UNAVAILABLE": "0.02", "CANCELLED": "0.5"}


def test_calls_have_the_names_of_a96(registry):
    """gRFC A96: the retries, hedges and delay of a call, only where it had any."""
    metrics = PrometheusEvents(registry=registry)
    metrics.call_finished(**CALL, code="OK", duration_s=0.1)
    text = shown(registry)
    assert "grpc_client_call_duration_seconds_count" in text
    assert f"grpc_client_call_retries_count{{{LABELS}}}" not in text

    metrics.call_finished(
        **CALL, code="OK", duration_s=0.3, retries=2, hedges=1, retry_delay_s=0.2
    )
    text = shown(registry)
    assert f"grpc_client_call_retries_sum{{{LABELS}}} 2.0" in text
    assert f"grpc_client_call_hedges_sum{{{LABELS}}} 1.0" in text
    assert f"grpc_client_call_retry_delay_seconds_sum{{{LABELS}}} 0.2" in text


EVENTS = [
    (
        BreakerThresholdExceeded(name="b", reason="r", metrics=BreakerMetrics()),
        'resilience_breaker_threshold_exceeded_total{breaker="b"} 1.0',
    ),
    (
        RetryScheduled(**CALL, attempt=1, delay_s=0.1, code="UNAVAILABLE"),
        f"resilience_retries_total{{{LABELS}}} 1.0",
    ),
    (
        RetryRefused(**CALL, attempt=1, reason="budget", code="UNAVAILABLE"),
        f'resilience_retries_refused_total{{{LABELS},reason="budget"}} 1.0',
    ),
    (
        CallRefused(**CALL, policy="breaker_open", reason="circuit x is open"),
        f'resilience_refusals_total{{{LABELS},policy="breaker_open"}} 1.0',
    ),
    (
        DeadlineRefused(**CALL, remaining_s=-0.1),
        f'resilience_refusals_total{{{LABELS},policy="deadline"}} 1.0',
    ),
    (
        CallCoalesced(key="k", source="joined", age_s=0.0),
        'resilience_coalesced_total{source="joined"} 1.0',
    ),
    (
        FallbackServed(**CALL, reason="UNAVAILABLE"),
        f'resilience_fallbacks_total{{{LABELS},reason="UNAVAILABLE"}} 1.0',
    ),
    (
        HedgeSent(**CALL, attempt=2, delay_s=0.1),
        f"resilience_hedges_total{{{LABELS}}} 1.0",
    ),
    (
        HedgeRefused(**CALL, attempt=2, reason="load"),
        f'resilience_hedges_refused_total{{{LABELS},reason="load"}} 1.0',
    ),
    (
        LimitChanged(name="orders", old=20, new=27),
        'resilience_limit{name="orders"} 27.0',
    ),
    (
        BackendPicked(
            **CALL, policy="p2c", backend="a", reason="r", candidates={"a": 1.0}
        ),
        'resilience_picks_total{backend="a",grpc_target="orders@eu"} 1.0',
    ),
    (
        BackendEjected(target="orders@eu", backend="a", reason="r", for_s=30.0),
        'resilience_backend_ejected{backend="a",grpc_target="orders@eu"} 1.0',
    ),
    (
        BackendReturned(target="orders@eu", backend="a"),
        'resilience_backend_ejected{backend="a",grpc_target="orders@eu"} 0.0',
    ),
    (
        FaultInjected(method=CALL["method"], delay_s=0.1, code=None),
        'resilience_faults_injected_total{code="",grpc_method="shop.v1.Orders/Place"}',
    ),
    (
        BreakerChanged(
            name="b", old="closed", new="open", reason="r", metrics=BreakerMetrics()
        ),
        'resilience_breaker_transitions_total{breaker="b",new="open",old="closed"} 1.0',
    ),
]


@pytest.mark.parametrize(
    ("event", "line"), EVENTS, ids=[type(event).__name__ for event, _ in EVENTS]
)
def test_an_event_is_counted(registry, event, line):
    """Each event has its metric, under the labels of gRPC where it has a call."""
    PrometheusEvents(registry=registry).on_event(event)

    # Labels are compared in one order, whatever the exporter's is.
    def ordered(text):
        head, _, rest = text.partition("{")
        labels, _, value = rest.partition("}")
        return head, sorted(labels.split(",")), value

    found = [ordered(each) for each in shown(registry).splitlines() if "{" in each]
    name, labels, value = ordered(line)
    assert [v for n, ls, v in found if (n, ls) == (name, labels)] == [value or " 1.0"]


def test_every_event_has_its_line():
    """No event of the policies is left out of the metrics."""
    events = importlib.import_module("resilience._events")
    classes = {
        value
        for value in vars(events).values()
        if isinstance(value, type) and value.__module__ == events.__name__
    } - {events.Listener, events.BreakerMetrics}

    assert classes == {type(event) for event, _ in EVENTS}


def test_a_breaker_is_in_one_state(registry):
    """The gauge of the state it left is 0, that of the state it is in is 1."""
    metrics = PrometheusEvents(registry=registry)
    for old, new in [("closed", "open"), ("open", "half_open"), ("half_open", "open")]:
        metrics.on_event(
            BreakerChanged(
                name="b", old=old, new=new, reason="r", metrics=BreakerMetrics()
            )
        )

    states = {
        sample.labels["state"]: sample.value
        for family in registry.collect()
        if family.name == "resilience_breaker_state"
        for sample in family.samples
    }
    assert states == {"closed": 0.0, "open": 1.0, "half_open": 0.0}


def test_labels_are_bounded(registry):
    """Past the first values of a label all are "other": no method name floods it."""
    metrics = PrometheusEvents(registry=registry, max_values=3)
    for number in range(1000):
        method, name = f"/a.B/M{number}", f"t{number}"
        metrics.attempt_started("t", method, 1, []).finished(
            Outcome(code="OK", latency_s=0.1)
        )
        metrics.on_event(DeadlineRefused(target=name, method=method, remaining_s=0))
        metrics.on_event(
            BreakerChanged(
                name=name,
                old="closed",
                new="open",
                reason="r",
                metrics=BreakerMetrics(),
            )
        )
        metrics.on_event(LimitChanged(name=name, old=1, new=2))

    seen = {}
    for family in registry.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                seen.setdefault(label, set()).add(value)
    assert seen["grpc_method"] == {"a.B/M0", "a.B/M1", "a.B/M2", "other"}
    assert seen["breaker"] == {"t0", "t1", "t2", "other"}
    assert seen["name"] == {"t0", "t1", "t2"}
    # "t" came first.
    assert seen["grpc_target"] == {"t", "t0", "t1", "other"}


def test_an_unknown_event_is_no_error(registry):
    """A listener takes whatever comes."""
    metrics = PrometheusEvents(registry=registry)
    metrics.on_event(object())

    assert repr(metrics) == "<PrometheusEvents nothing yet>"


def test_a_registry_takes_one(registry):
    """Two on one registry would count everything twice; it is refused."""
    PrometheusEvents(registry=registry)

    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusEvents(registry=registry)
    with pytest.raises(ValueError, match="max_values"):
        PrometheusEvents(registry=CollectorRegistry(), max_values=0)
