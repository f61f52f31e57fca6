"""Prometheus metrics of one process: requests, errors, durations, events, spans.

Each `Metrics` has a registry of its own; nothing is registered at import.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from observability import names
from observability.export import SpanCounts

# Seconds: fine below the SLO of 750 ms, coarse up to a checkout's deadline.
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.5, 3.0, 5.0, 10.0)


class Metrics:
    """The RED set and the counters that go with events and spans."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            names.METRIC_REQUESTS,
            "Finished calls by method and gRPC status.",
            ["method", "code"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            names.METRIC_REQUEST_SECONDS,
            "Duration of calls.",
            ["method"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            names.METRIC_IN_FLIGHT,
            "Calls being worked on.",
            ["method"],
            registry=self.registry,
        )
        self.events = Counter(
            names.METRIC_EVENTS,
            "Events that policies reported.",
            ["event", "target"],
            registry=self.registry,
        )

    def watch_spans(self, counts: Callable[[], SpanCounts]) -> None:
        """Expose the account of spans; it is read when somebody scrapes."""
        self.registry.register(_SpanCollector(counts))

    @contextmanager
    def request(self, method: str) -> Iterator[list[str]]:
        """Measure one call; the block puts its status name into the list it gets."""
        gauge = self.in_flight.labels(method)
        gauge.inc()
        started = perf_counter()
        code = ["OK"]
        try:
            yield code
        finally:
            gauge.dec()
            self.seconds.labels(method).observe(perf_counter() - started)
            self.requests.labels(method, code[-1]).inc()


class MetricsServer:
    """Serves `/metrics` from a thread."""

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)


def serve_metrics(host: str, port: int, metrics: Metrics) -> MetricsServer:
    """Serve the metrics on `host:port` (0 picks a port); OSError when it is taken."""
    server, thread = start_http_server(port, host, registry=metrics.registry)
    return MetricsServer(server, thread)


class _SpanCollector(Collector):
    def __init__(self, counts: Callable[[], SpanCounts]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        counts = self._counts()
        dropped = CounterMetricFamily(
            names.METRIC_SPANS_DROPPED, "Spans that were lost.", labels=["stage"]
        )
        dropped.add_metric([names.STAGE_QUEUE], counts.dropped_queue)
        dropped.add_metric([names.STAGE_EXPORT], counts.dropped_export)
        dropped.add_metric([names.STAGE_SHUTDOWN], counts.dropped_shutdown)
        yield dropped
        yield CounterMetricFamily(
            names.METRIC_SPANS_ENDED, "Spans that ended.", value=counts.ended
        )
        yield CounterMetricFamily(
            names.METRIC_SPANS_EXPORTED, "Spans that were sent.", value=counts.exported
        )
        yield GaugeMetricFamily(
            names.METRIC_SPANS_PENDING, "Spans still to be sent.", value=counts.pending
        )
