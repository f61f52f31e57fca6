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

# The collector answers before it writes, and writes twice in this time.
WRITTEN_S = 0.6
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The spans in the store, and those that had ended and were never sent."""

    received: int
    unsent: int


def settle(lab: Lab, *, timeout: float) -> Settled:
    """Wait until every span that has ended by now is in the store, or for `timeout` s.

    Work that goes on in the background never falls silent, so each process is asked
    how many spans have ended in it, and then until it has sent or lost so many.
    Raises OSError.
    """
    give_up = time.monotonic() + timeout
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(_ended, lab.services))
        while True:
            gone = pool.map(_left, lab.services)
            unsent = sum(
                max(0, had - left) for had, left in zip(ended, gone, strict=True)
            )
            if not unsent or time.monotonic() >= give_up:
                break
            time.sleep(POLL_S)
    time.sleep(WRITTEN_S)
    return Settled(received=TraceStore(lab.traces).counts().received, unsent=unsent)


def _lost(service: Service) -> int:
    return total(_metrics(service), names.METRIC_SPANS_DROPPED)


def _ended(service: Service) -> int:
    return total(_metrics(service), names.METRIC_SPANS_ENDED)


def _left(service: Service) -> int:
    lines = _metrics(service)
    return total(lines, names.METRIC_SPANS_EXPORTED) + total(
        lines, names.METRIC_SPANS_DROPPED
    )


def _metrics(service: Service) -> list[str]:
    if not service.metrics:
        return []
    url = f"http://{service.metrics}/metrics"
    with urllib.request.urlopen(url, timeout=5) as reply:
        text: str = reply.read().decode()
    return text.splitlines()


def total(lines: Iterable[str], metric: str) -> int:
    """Sum a counter over its labels, from Prometheus' text format."""
    added = 0.0
    for line in lines:
        if line.startswith((f"{metric}_total{{", f"{metric}_total ")):
            added += float(line.rsplit(" ", 1)[1])
    return int(added)
