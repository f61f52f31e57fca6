"""Pool figures for Prometheus, read from the pools when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from cockroach.database import Database
from cockroach.pools import WAIT_BUCKETS

METRIC_CONNECTIONS = "seawall_db_pool_connections"
METRIC_LIMIT = "seawall_db_pool_limit"
METRIC_WAITING = "seawall_db_pool_waiting"
METRIC_OPENED = "seawall_db_pool_opened"
METRIC_DISCARDED = "seawall_db_pool_discarded"
METRIC_EXHAUSTED = "seawall_db_pool_exhausted"
METRIC_DECISIONS = "seawall_db_gateway_decisions"
METRIC_WAIT_SECONDS = "seawall_db_pool_wait_seconds"

_LABELS = ("gateway", "gateway_region")


class PoolCollector(Collector):
    """Register it with a prometheus registry; it costs nothing between scrapes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """Yield one family per figure."""
        connections = GaugeMetricFamily(
            METRIC_CONNECTIONS, "Connections by state", labels=(*_LABELS, "state")
        )
        limit = GaugeMetricFamily(
            METRIC_LIMIT, "Connections allowed at most", labels=_LABELS
        )
        waiting = GaugeMetricFamily(
            METRIC_WAITING, "Callers waiting for a connection", labels=_LABELS
        )
        opened = CounterMetricFamily(
            METRIC_OPENED, "Connections opened", labels=_LABELS
        )
        discarded = CounterMetricFamily(
            METRIC_DISCARDED, "Connections closed by us or found dead", labels=_LABELS
        )
        exhausted = CounterMetricFamily(
            METRIC_EXHAUSTED, "Waits that ended without a connection", labels=_LABELS
        )
        waits = HistogramMetricFamily(
            METRIC_WAIT_SECONDS, "Waits for a connection", labels=_LABELS
        )
        for pool in self._database.pool_stats():
            labels = (pool.gateway, pool.region)
            connections.add_metric((*labels, "idle"), pool.idle)
            connections.add_metric((*labels, "busy"), pool.busy)
            connections.add_metric((*labels, "opening"), pool.opening)
            limit.add_metric(labels, pool.limit)
            waiting.add_metric(labels, pool.waiting)
            opened.add_metric(labels, pool.opened)
            discarded.add_metric(labels, pool.discarded)
            exhausted.add_metric(labels, pool.exhausted)
            bounds = [*(str(float(one)) for one in WAIT_BUCKETS), "+Inf"]
            waits.add_metric(
                labels,
                list(zip(bounds, accumulate(pool.waits), strict=True)),
                sum_value=pool.waited_s,
            )
        yield from (connections, limit, waiting, opened, discarded, exhausted, waits)
        decisions = CounterMetricFamily(
            METRIC_DECISIONS,
            "Gateways chosen, and why",
            labels=("policy", "home_region", *_LABELS, "reason"),
        )
        for *told, number in self._database.decisions():
            decisions.add_metric([str(one) for one in told], float(number))
        yield decisions
