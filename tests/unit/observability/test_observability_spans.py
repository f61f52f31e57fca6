"""Reading spans back, drawing them, and doing nothing at import."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2
from rich.console import Console

from observability import names
from observability.spans import LazyAttributes, SpanEvent
from observability.tree import plan_figures, render


def message(**values) -> bytes:
    span = trace_pb2.Span()
    for key, value in values.items():
        pair = span.attributes.add(key=key)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        elif isinstance(value, list):
            for item in value:
                pair.value.array_value.values.add(string_value=item)
        else:
            pair.value.string_value = value
    return span.SerializeToString()


def test_lazy_attributes_are_what_was_sent():
    """Every kind of value comes back, through every way of looking."""
    sent = {"a": "x", "b": 1, "c": 1.5, "d": True, "e": ["x", "y"]}
    found = LazyAttributes(message(**sent))

    assert sent == found
    assert sent == dict(found)
    assert (found["b"], found.get("z"), len(found)) == (1, None, 5)
    assert "a" in found
    assert repr(sent) == repr(found)


@pytest.mark.parametrize(
    ("tags", "method", "status"),
    [
        ({names.RPC_METHOD: "a.B/C", names.RPC_STATUS: "OK"}, "a.B/C", "OK"),
        ({names.RPC_METHOD: "a.B/C", names.RPC_STATUS_NEXT: "OK"}, "a.B/C", "OK"),
        (
            {
                names.OLD_RPC_SERVICE: "a.B",
                names.RPC_METHOD: "C",
                names.OLD_RPC_STATUS: 14,
            },
            "a.B/C",
            "UNAVAILABLE",
        ),
        ({}, "", ""),
    ],
)
def test_all_conventions_of_rpc_names_are_read(make, tags, method, status):
    """Spans of other instrumentation answer the same questions."""
    span = make(tags=tags)

    assert (method, status) == (span.rpc_method, span.rpc_status)


def test_a_trace_is_drawn_with_timings(make):
    """The tree shows who called whom, when, how long, where and how it ended."""
    root = make("journey checkout", 0, 100, service="load", region="")
    call = make("shop.v1.Orders/PlaceOrder", 10, 90, parent=root, kind="SERVER")
    tags = {
        names.GATEWAY_NAME: "us-a",
        names.BALANCER_REASON: "round_robin",
        names.HOME_REGION: "eu",
        names.DB_STATUS: "40001",
    }
    make_error = make("INSERT orders", 20, 60, parent=call, status="ERROR", tags=tags)
    output = io.StringIO()
    Console(file=output, width=200, no_color=True).print(
        render([make_error, call, root])
    )

    lines = output.getvalue().splitlines()
    assert "100.0 ms  3 spans" in lines[0]
    assert "journey checkout  load" in lines[1]
    assert "10.0 +    80.0 ms  shop.v1.Orders/PlaceOrder  orders eu" in lines[2]
    assert (
        "INSERT orders  orders eu  ERROR  via us-a (round_robin) for rows of eu"
        "  status_code=40001" in lines[3]
    )
    assert lines[1].index("━") < lines[2].index("━")


def test_a_plan_stands_below_its_statement_once(make):
    """A slow statement shows why it was slow; its equals refer to it."""
    tags = {names.DB_PLAN: "Foreign Scan on orders_eu\n  Remote SQL: SELECT 1"}
    event = SpanEvent(names.EVENT_SLOW_PLAN, 0, tags)
    slow = [replace(make("SELECT orders", n, n + 1), events=(event,)) for n in (0, 5)]
    output = io.StringIO()
    Console(file=output, width=200, no_color=True).print(render(slow))

    drawn = output.getvalue()
    assert drawn.count("Foreign Scan on orders_eu") == 1
    assert drawn.count("Remote SQL: SELECT 1") == 1
    assert drawn.count("plan as above") == 1


def test_a_plan_is_told_in_one_line_of_figures(make):
    """Regions, rows, full scans and network are read without reading the plan."""
    tags = {
        names.DB_PLAN: "Foreign Scan",
        names.PLAN_ANALYZED: True,
        names.PLAN_REGIONS: ["eu", "us"],
        names.PLAN_FULL_SCANS: ["orders"],
        names.PLAN_ROWS: 12,
        names.PLAN_ESTIMATED_ROWS: 10,
        names.PLAN_REMOTE_STATEMENTS: 1,
        names.PLAN_NETWORK_BYTES: 4000,
        names.PLAN_EXECUTION_MS: 82.14,
        names.PLAN_AGE_MS: 9000,
    }
    event = SpanEvent(names.EVENT_SLOW_PLAN, 0, tags)
    output = io.StringIO()
    slow = replace(make("SELECT orders", 0, 1), events=(event,))
    Console(file=output, width=200, no_color=True).print(render([slow]))
    assert (
        "plan: regions eu, us; rows 12 (estimated 10); full scans orders; "
        "remote statements 1; network 4000 B; ran 82.1 ms; 9 s old"
    ) in output.getvalue()


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({}, ""),
        (
            {names.PLAN_ANALYZED: False},
            "plan: regions unknown; full scans none",
        ),
        (
            {
                names.PLAN_ANALYZED: False,
                names.PLAN_REGIONS: "[eu, us]",
                names.PLAN_ESTIMATED_ROWS: 3,
                names.PLAN_NETWORK_BYTES: 0,
                names.PLAN_NETWORK_MESSAGES: 0,
            },
            "plan: regions eu, us; estimated rows 3; full scans none; network 0 B in 0",
        ),
    ],
)
def test_what_a_plan_does_not_know_is_not_told(tags, told):
    """A plan that was not run has no measured figure, and an old one no line."""
    assert plan_figures(tags) == told


def test_an_empty_trace_draws_nothing():
    """Drawing no spans is not an error."""
    assert "no spans" in str(render([]).label)


def test_importing_does_nothing_but_import():
    """Preloading before a fork starts no thread and sets no provider."""
    code = """
import importlib, json, pkgutil, sys, threading
import observability
for found in pkgutil.walk_packages(observability.__path__, "observability."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
from opentelemetry import trace
print(json.dumps({
    "threads": threading.active_count(),
    "provider": trace._TRACER_PROVIDER is not None,
}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=30
    )

    assert json.loads(done.stdout) == {"threads": 1, "provider": False}
