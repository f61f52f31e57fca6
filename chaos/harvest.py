"""Waits for the last spans, and counts those that never came."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from chaos.lab_state import Lab, Service
from observability import names
from observability.store import StoreCounts, TraceStore

# Exporters send every half second; nothing new for longer means nothing is on its way.
QUIET_S = 1.2
POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Spans lost so far, by who lost them; `late` reached the store too late."""

    services: int
    collector: int
    late: int

    def since(self, earlier: Account) -> Account:
        """Give what was added since the earlier account."""
        return Account(
            services=self.services - earlier.services,
            collector=self.collector - earlier.collector,
            late=self.late - earlier.late,
        )

    def to_json(self) -> dict[str, int]:
        """Plain values."""
        return asdict(self)


def account(lab: Lab) -> Account:
    """Ask every service's `/metrics` and the store. Raises OSError."""
    counts = TraceStore(lab.traces).counts() if lab.traces.exists() else StoreCounts()
    with ThreadPoolExecutor(8) as pool:
        lost = sum(pool.map(_lost, lab.services))
    return Account(
        services=lost, collector=counts.dropped + counts.malformed, late=counts.late
    )


def settle(lab: Lab, *, timeout: float) -> int:
    """Return the number of spans in the store when no more come, or after `timeout`."""
    store = TraceStore(lab.traces)
    give_up = time.monotonic() + timeout
    last, since = -1, time.monotonic()
    while time.monotonic() < give_up:
        received = store.counts().received
        if received != last:
            last, since = received, time.monotonic()
        elif time.monotonic() - since >= QUIET_S:
            break
        time.sleep(POLL_S)
    return last


def _lost(service: Service) -> int:
    if not service.metrics:
        return 0
    url = f"http://{service.metrics}/metrics"
    with urllib.request.urlopen(url, timeout=5) as reply:
        return total(reply.read().decode().splitlines(), names.METRIC_SPANS_DROPPED)


def total(lines: Iterable[str], metric: str) -> int:
    """Sum a counter over its labels, from Prometheus' text format."""
    added = 0.0
    for line in lines:
        if line.startswith((f"{metric}_total{{", f"{metric}_total ")):
            added += float(line.rsplit(" ", 1)[1])
    return int(added)
