"""Spans go out by OTLP over gRPC and come back as they were."""

import grpc
import pytest
from opentelemetry.trace import SpanKind, Status, StatusCode

from observability.collector import CollectorProcess
from observability.evidence import Evidence
from observability.store import TraceStore

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def raw_call(endpoint: str, payload: bytes) -> bytes:
    with grpc.insecure_channel(endpoint.removeprefix("http://")) as channel:
        return channel.unary_unary(EXPORT)(payload, timeout=5)


def test_a_span_comes_back_as_it_was_sent(collector, trace_to, stored):
    """Ids, times, parents, kind, status, attributes, events, place: all survive."""
    telemetry = trace_to(collector.endpoint)
    with telemetry.tracer.start_as_current_span("root", kind=SpanKind.SERVER) as root:
        child = telemetry.tracer.start_span("INSERT orders", kind=SpanKind.CLIENT)
        child.set_attributes({"s": "x", "i": 5, "f": 0.5, "b": True, "l": ["a", "b"]})
        child.add_event("seawall.retry.scheduled", {"attempt": 1})
        child.set_status(Status(StatusCode.ERROR, "40001"))
        child.end()
    assert telemetry.flush()

    store = stored(2)
    top, leaf = store.spans()

    assert (top.name, top.kind, top.parent_id) == ("root", "SERVER", None)
    assert top.trace_id == f"{root.get_span_context().trace_id:032x}"
    assert (leaf.parent_id, leaf.status) == (top.span_id, "ERROR")
    assert leaf.attributes == {"s": "x", "i": 5, "f": 0.5, "b": True, "l": ["a", "b"]}
    assert [(e.name, dict(e.attributes)) for e in leaf.events] == [
        ("seawall.retry.scheduled", {"attempt": 1})
    ]
    assert (leaf.service, leaf.instance) == ("orders", "orders-eu-a")
    assert (leaf.region, leaf.zone) == ("eu", "a")
    assert top.start_ns <= leaf.start_ns <= leaf.end_ns <= top.end_ns
    assert leaf.received_ns > leaf.end_ns
    assert telemetry.counts().exported == 2
    assert telemetry.counts().dropped == 0


def test_spans_of_several_processes_join_in_one_trace(collector, trace_to, stored):
    """A caller's and a callee's spans are one tree, whoever sent first."""
    caller, callee = (
        trace_to(collector.endpoint, service=name) for name in ("orders", "payments")
    )
    with (
        caller.tracer.start_as_current_span("call", kind=SpanKind.CLIENT),
        callee.tracer.start_as_current_span("serve", kind=SpanKind.SERVER),
    ):
        pass

    evidence = Evidence(stored(2).spans())
    (root,) = evidence.roots()

    assert [span.service for span in evidence.descendants(root)] == ["payments"]
    assert evidence.orphans() == []


@pytest.fixture
def traces(collector, trace_to, stored):
    """Three traces: a quick good one, a slow one, a failed one of another service."""
    orders = trace_to(collector.endpoint)
    catalog = trace_to(collector.endpoint, service="catalog")
    second = 1_000_000_000
    base = 1_700_000_000 * second
    quick = orders.tracer.start_span("quick", start_time=base)
    quick.set_attribute("seawall.gateway.region", "eu")
    quick.end(base + second // 100)
    slow = orders.tracer.start_span("slow", start_time=base + second)
    slow.set_attribute("seawall.gateway.region", "us")
    slow.end(base + 3 * second)
    bad = catalog.tracer.start_span("bad", start_time=base + 2 * second)
    bad.set_status(Status(StatusCode.ERROR))
    bad.end(base + 2 * second + 1)
    return stored(3), base


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({}, ["bad", "slow", "quick"]),
        ({"service": "orders"}, ["slow", "quick"]),
        ({"operation": "quick"}, ["quick"]),
        ({"min_ms": 1000}, ["slow"]),
        ({"max_ms": 100}, ["bad", "quick"]),
        ({"status": "ERROR"}, ["bad"]),
        ({"attributes": {"seawall.gateway.region": "us"}}, ["slow"]),
        ({"attributes": {"seawall.gateway.region": "mars"}}, []),
        ({"service": "orders", "limit": 1}, ["slow"]),
    ],
)
def test_traces_are_found_by_any_condition(traces, conditions, found):
    """Service, operation, duration, status and attributes each narrow the search."""
    store, _ = traces

    assert [trace.root for trace in store.find(**conditions)] == found


def test_a_window_takes_spans_by_their_start(traces):
    """A window is half open, so that two neighbours share no span."""
    store, base = traces
    second = 1_000_000_000

    assert [span.name for span in store.spans(base, base + second)] == ["quick"]
    assert [s.name for s in store.spans(base + second, service="orders")] == ["slow"]
    assert [s.name for s in store.spans(name="bad", limit=1)] == ["bad"]
    assert store.services() == ["catalog", "orders"]


def test_the_beginning_of_a_trace_id_is_enough(traces):
    """What a person copies from a table finds the trace; nonsense finds nothing."""
    store, _ = traces
    (known,) = store.find(operation="slow")

    assert [span.name for span in store.trace(known.trace_id[:9])] == ["slow"]
    assert store.trace("not hex") == []
    assert store.trace("0" * 32) == []


def test_spans_that_come_late_are_counted(traces):
    """A span that was sent long after its end makes a verdict doubtful."""
    store, _ = traces

    assert store.counts().late == 3


def test_what_is_no_otlp_is_refused_and_counted(collector, stored, wait_for):
    """Rubbish gets INVALID_ARGUMENT, and the collector lives on."""
    with pytest.raises(grpc.RpcError) as caught:
        raw_call(collector.endpoint, b"\xff\xff\xff")

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    wait_for(lambda: stored(0).counts().malformed == 1)
    assert raw_call(collector.endpoint, b"") == b""


def test_the_oldest_give_way_when_the_store_is_full(tmp_path, trace_to, wait_for):
    """The store never grows without bound, and says how far back it is whole."""
    with CollectorProcess(tmp_path / "small.db", max_spans=50) as collector:
        telemetry = trace_to(collector.endpoint)
        for number in range(80):
            telemetry.tracer.start_span(f"n{number}").end()
        assert telemetry.flush()
        store = TraceStore(collector.store)
        wait_for(lambda: store.counts().received == 80)
        counts = store.counts()

        assert (counts.spans, counts.pruned) == (50, 30)
        assert counts.pruned_until_ns > 0
        assert {"n30", "n79"} <= {span.name for span in store.spans()}


def test_a_store_survives_its_collector(tmp_path, trace_to, wait_for):
    """A second collector on the same file goes on where the first one stopped."""
    path = tmp_path / "traces.db"
    for _ in range(2):
        with CollectorProcess(path) as collector:
            telemetry = trace_to(collector.endpoint)
            telemetry.tracer.start_span("one").end()
            assert telemetry.flush()

    store = TraceStore(path)

    assert (store.counts().spans, store.counts().received) == (2, 2)


def test_a_store_that_is_not_there_is_said_to_be_missing(tmp_path):
    """Reading a wrong path fails at once, and makes no empty file."""
    with pytest.raises(FileNotFoundError):
        TraceStore(tmp_path / "none.db")

    assert list(tmp_path.iterdir()) == []
