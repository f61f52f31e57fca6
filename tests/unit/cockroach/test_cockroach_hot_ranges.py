"""What a node's status address tells of busy ranges; the answers are written here."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cockroach.hot_ranges import HotRangesError, rates, rates_of

Serve = Callable[[int, Any], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def start(status: int, document: Any) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                right = self.path == "/_status/v2/hotranges" and asked == b"{}"
                self.send_response(status if right else 404)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_node_tells_the_rates_of_its_busiest_ranges(serve: Serve) -> None:
    """Reads and writes a second together, by range."""
    shown = [
        {"rangeId": 71, "readsPerSecond": 10.5, "writesPerSecond": 2.5, "qps": 4},
        {"rangeId": "72", "qps": 7.0},
    ]
    assert rates(serve(200, {"ranges": shown})) == {"71": 13.0, "72": 7.0}


@pytest.mark.parametrize(
    ("status", "why"), [(401, "secure"), (403, "secure"), (500, "status 500")]
)
def test_a_refusal_says_why(serve: Serve, status: int, why: str) -> None:
    """A secure cluster and a broken one are told apart."""
    with pytest.raises(HotRangesError, match=why):
        rates(serve(status, {}))


@pytest.mark.parametrize("document", [None, [], {}, {"ranges": [{"qps": 1}]}, "x"])
def test_another_answer_is_an_error(document: Any) -> None:
    """What is not understood is not taken for an idle cluster."""
    with pytest.raises(HotRangesError):
        rates_of(document)


@pytest.mark.parametrize("url", ["ftp://a", "file:///etc/passwd", "127.0.0.1:8080"])
def test_only_http_is_asked(url: str) -> None:
    """No other scheme is opened."""
    with pytest.raises(HotRangesError, match="begins with"):
        rates(url)


def test_nobody_there_is_an_error() -> None:
    """A port that nobody listens on."""
    with pytest.raises(HotRangesError, match="no hot ranges"):
        rates("http://127.0.0.1:1")
