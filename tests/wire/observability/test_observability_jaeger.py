"""The same spans from Jaeger's query API, over real HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from observability import names
from observability.evidence import Evidence
from observability.jaeger import JaegerError, JaegerStore


def tag(key, value):
    return {"key": key, "type": type(value).__name__, "value": value}


TRACE = {
    "traceID": "abc",
    "processes": {
        "p1": {
            "serviceName": "orders",
            "tags": [tag(names.CLOUD_REGION, "eu"), tag(names.SERVICE_INSTANCE, "o-1")],
        },
        "p2": {"serviceName": "payments", "tags": []},
    },
    "spans": [
        {
            "traceID": "abc",
            "spanID": "2",
            "operationName": "shop.v1.Payments/Capture",
            "references": [{"refType": "CHILD_OF", "traceID": "abc", "spanID": "1"}],
            "startTime": 1_000_500,
            "duration": 250,
            "processID": "p2",
            "tags": [
                tag("span.kind", "server"),
                tag("otel.status_code", "ERROR"),
                tag("error", value=True),
            ],
            "logs": [
                {"timestamp": 1_000_600, "fields": [tag("event", "x"), tag("k", 1)]}
            ],
        },
        {
            "traceID": "abc",
            "spanID": "1",
            "operationName": "shop.v1.Orders/PlaceOrder",
            "references": [],
            "startTime": 1_000_000,
            "duration": 1000,
            "processID": "p1",
            "tags": [tag("span.kind", "client")],
            "logs": None,
        },
    ],
}


@pytest.fixture
def asked():
    return []


@pytest.fixture
def jaeger(asked):
    class Api(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            asked.append(parse_qs(url.query))
            answers = {
                "/api/services": {"data": ["payments", "orders"]},
                "/api/traces": {"data": [TRACE]},
                "/api/traces/abc": {"data": [TRACE]},
                "/api/traces/bad": "not what was asked for",
            }
            found = answers.get(url.path)
            body = json.dumps(found).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield JaegerStore(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


def test_a_jaeger_trace_is_the_same_kind_of_evidence(jaeger):
    """Parents, times, kinds, status, place and events are read from Jaeger's JSON."""
    call, served = jaeger.trace("abc")

    assert (call.service, call.region, call.instance) == ("orders", "eu", "o-1")
    assert (call.kind, call.start_ns, call.end_ns) == ("CLIENT", 10**9, 1_001_000_000)
    assert (served.kind, served.status) == ("SERVER", "ERROR")
    assert served.events[0].attributes == {"k": 1}
    assert Evidence([call, served]).children(call) == [served]


def test_a_window_asks_every_service_once_and_joins(jaeger, asked):
    """Jaeger searches by service; a trace that two of them share is read once."""
    found = jaeger.spans(1_000_000_000, 1_000_400_000)

    assert [span.name for span in found] == ["shop.v1.Orders/PlaceOrder"]
    assert [query.get("service") for query in asked] == [None, ["orders"], ["payments"]]
    assert asked[1]["start"] == ["1000000"]


def test_an_unknown_trace_is_empty(jaeger):
    """A trace that Jaeger does not have is no error."""
    assert jaeger.trace("none") == []


def test_an_api_that_is_none_is_an_error(jaeger):
    """Something else on that port, or nothing, is said so."""
    with pytest.raises(JaegerError):
        jaeger.trace("bad")
    with pytest.raises(JaegerError):
        JaegerStore("http://127.0.0.1:9", timeout=1).services()
    with pytest.raises(ValueError, match="http"):
        JaegerStore("file:///etc/passwd")
