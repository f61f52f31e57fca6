"""Backends that fail more than the others get no calls for a while: gRFC A50.

Success rate and failure percentage as A50's text has them (strictly beyond the
threshold; its proto's comment says "or equal"), consecutive failures as Envoy's
consecutive_gateway_failure, and Envoy's healthy panic threshold.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from resilience._events import BackendEjected, BackendReturned, Listener, emit


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierConfig:
    """When a backend is put aside, and for how long; names and defaults are A50's.

    Every *interval_s* seconds backends with at least *request_volume* calls in the
    interval are compared, where at least *minimum_hosts* have that many: one is ejected
    whose success rate is below mean - stdev * *success_rate_stdev_factor* / 1000
    (None: not judged so), or of whose calls more than *failure_percentage_threshold*
    percent fail (None). One with *consecutive_failures* in a row is ejected at once
    (None).
    An ejection lasts *base_ejection_s* times the number of ejections not yet made good,
    at most *max_ejection_s*; never more than *max_ejection_percent* of the backends are
    out, but one may always be. When less than *panic_percent* of them are left, all are
    used. *enforcing_percent* of what was decided is done.
    """

    interval_s: float = 10.0
    base_ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    max_ejection_percent: float = 10.0
    success_rate_stdev_factor: int | None = 1900
    failure_percentage_threshold: float | None = None
    consecutive_failures: int | None = None
    minimum_hosts: int = 5
    request_volume: int = 100
    enforcing_percent: float = 100.0
    panic_percent: float = 50.0

    def __post_init__(self) -> None:
        for name in ("interval_s", "base_ejection_s", "max_ejection_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0 seconds")
        for name in ("max_ejection_percent", "enforcing_percent", "panic_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} must be in [0, 100]")
        threshold = self.failure_percentage_threshold
        if threshold is not None and not 0 <= threshold <= 100:
            raise ValueError("failure_percentage_threshold must be in [0, 100]")
        for name in ("minimum_hosts", "request_volume"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        run = self.consecutive_failures
        if run is not None and run < 1:
            raise ValueError("consecutive_failures must be at least 1, or None")


class _Host:
    __slots__ = ("ejected_at", "failed", "multiplier", "ok", "run")

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.run = 0
        self.multiplier = 0
        self.ejected_at: float | None = None


class Outliers:
    """Which backends of a target are ejected. Swept when asked, by no thread."""

    def __init__(
        self,
        target: str,
        config: OutlierConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.config = config
        self._target = target
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  # for enforcing, no secret
        self._listener = listener
        self._hosts: dict[str, _Host] = {}
        self._next = clock() + config.interval_s
        self._out: frozenset[str] = frozenset()

    def follow(self, names: set[str]) -> None:
        """Know these backends and no others."""
        for gone in set(self._hosts) - names:
            del self._hosts[gone]
        for name in names:
            self._hosts.setdefault(name, _Host())
        self._seen()

    def record(self, name: str, *, ok: bool) -> None:
        """Take in how a call to *name* ended."""
        host = self._hosts.get(name)
        if host is None:
            return
        if ok:
            host.ok += 1
            host.run = 0
            return
        host.failed += 1
        host.run += 1
        run = self.config.consecutive_failures
        if run is not None and host.run >= run and host.ejected_at is None:
            self._eject(name, host, "consecutive_failures", self._clock())

    def ejected(self) -> frozenset[str]:
        """Return the names that get no calls now; none of them in a panic."""
        now = self._clock()
        if now >= self._next:
            self._sweep(now)
        out = self._out
        left = len(self._hosts) - len(out)
        if out and left < self.config.panic_percent / 100 * len(self._hosts):
            return frozenset()
        return out

    def _sweep(self, now: float) -> None:
        config = self.config
        self._next = now + config.interval_s
        self._judge(now)
        for name, host in self._hosts.items():
            host.ok = host.failed = 0
            if host.ejected_at is None:
                host.multiplier = max(0, host.multiplier - 1)
                continue
            longest = max(config.base_ejection_s, config.max_ejection_s)
            lasts = min(config.base_ejection_s * host.multiplier, longest)
            if now >= host.ejected_at + lasts:
                host.ejected_at = None
                host.run = 0
                emit(
                    self._listener,
                    BackendReturned(target=self._target, backend=name),
                )
        self._seen()

    def _judge(self, now: float) -> None:
        config = self.config
        asked = {
            name: host
            for name, host in self._hosts.items()
            if host.ok + host.failed >= config.request_volume
        }
        if len(asked) < config.minimum_hosts:
            return
        rates = {name: h.ok / (h.ok + h.failed) * 100 for name, h in asked.items()}
        if config.success_rate_stdev_factor is not None:
            mean = sum(rates.values()) / len(rates)
            variance = sum((rate - mean) ** 2 for rate in rates.values()) / len(rates)
            factor = config.success_rate_stdev_factor / 1000
            least = mean - math.sqrt(variance) * factor
            for name, rate in rates.items():
                if rate < least:
                    self._eject(name, asked[name], "success_rate", now)
        if config.failure_percentage_threshold is not None:
            for name, rate in rates.items():
                if 100 - rate > config.failure_percentage_threshold:
                    self._eject(name, asked[name], "failure_percentage", now)

    def _eject(self, name: str, host: _Host, reason: str, now: float) -> None:
        config = self.config
        if host.ejected_at is not None:
            return
        out = sum(other.ejected_at is not None for other in self._hosts.values())
        # At least one may go, however few there are.
        if out and out * 100 / len(self._hosts) >= config.max_ejection_percent:
            return
        if self._rng.uniform(0, 100) >= config.enforcing_percent:
            return
        host.ejected_at = now
        host.multiplier += 1
        self._seen()
        longest = max(config.base_ejection_s, config.max_ejection_s)
        emit(
            self._listener,
            BackendEjected(
                target=self._target,
                backend=name,
                reason=reason,
                for_s=min(config.base_ejection_s * host.multiplier, longest),
            ),
        )

    def _seen(self) -> None:
        self._out = frozenset(
            name for name, host in self._hosts.items() if host.ejected_at is not None
        )

    def __repr__(self) -> str:
        return f"<Outliers {len(self._out)} of {len(self._hosts)} ejected>"
