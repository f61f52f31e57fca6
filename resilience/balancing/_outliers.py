"""Backends that fail more than the others get no calls for a while: gRFC A50.

Success rate and failure percentage are judged as A50's algorithm has them, consecutive
failures as Envoy's consecutive_gateway_failure, and Envoy's healthy panic threshold
ends it all. Where the sources differ among themselves:

* a failure percentage *beyond* the threshold ejects (A50's algorithm; the comment in
  its proto says "greater than or equal"), and so does a success rate *below* its own;
* the share that may be out is never passed, but by the one that always may be (by
  A50's letter ejecting goes on until it is passed);
* a backend returns at the first sweep at or after the end of its ejection (as Envoy
  has it; A50 says "after", and no timer of its ever fires exactly then).
"""

import math
import random
import time
from collections.abc import Callable, Collection

from resilience._events import BackendEjected, BackendReturned, Listener, emit
from resilience.balancing._outlier_config import OutlierConfig

_NONE: frozenset[str] = frozenset()


class _Host:
    __slots__ = ("ejected_at", "failed", "multiplier", "ok", "run")

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.run = 0
        self.multiplier = 0
        self.ejected_at: float | None = None


class Outliers:
    """Which backends of a target are ejected. Swept when asked, by no thread.

    What happened is told to *listener* by `tell`, which a `Balancer` calls once it has
    let go of its lock.
    """

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
        self.news: list[BackendEjected | BackendReturned] = []
        self._target = target
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  # for enforcing, no secret
        self._listener = listener
        self._hosts: dict[str, _Host] = {}
        self._next = clock() + config.interval_s
        self._out = _NONE
        self._barred = _NONE

    def follow(self, names: Collection[str]) -> None:
        """Know these backends and no others."""
        for gone in set(self._hosts).difference(names):
            del self._hosts[gone]
        for name in names:
            self._hosts.setdefault(name, _Host())
        self._seen()

    def record(self, name: str, *, ok: bool) -> None:
        """Take in how a call to *name* ended."""
        now = self._clock()
        if now >= self._next:
            self._sweep(now)
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
        if run is not None and host.run >= run:
            host.run = 0
            if self._eject(name, host, "consecutive_failures", now):
                self._seen()

    def ejected(self) -> frozenset[str]:
        """Return the names that get no calls now; none of them in a panic.

        The same object comes back until it changes.
        """
        now = self._clock()
        if now >= self._next:
            self._sweep(now)
        return self._barred

    def take_news(self) -> list[BackendEjected | BackendReturned]:
        """Return what happened since it was last asked."""
        news, self.news = self.news, []
        return news

    def tell(self, news: list[BackendEjected | BackendReturned]) -> None:
        """Hand *news* to the listener."""
        for event in news:
            emit(self._listener, event)

    def _sweep(self, now: float) -> None:
        interval = self.config.interval_s
        first = self._next
        # Nobody asked for a while: the sweeps that a timer would have made since.
        sweeps = 1 + int((now - first) / interval)
        self._next = now + interval
        self._judge(now)
        for name, host in self._hosts.items():
            host.ok = host.failed = 0
            healthy = sweeps
            if host.ejected_at is not None:
                ends = host.ejected_at + self._lasts(host)
                if now < ends:
                    continue
                host.ejected_at = None
                host.run = 0
                self._note(BackendReturned(target=self._target, backend=name))
                # The sweep that brings it back is not one of its healthy ones.
                until_back = max(0, math.ceil((ends - first) / interval))
                healthy = max(0, sweeps - 1 - until_back)
            host.multiplier = max(0, host.multiplier - healthy)
        self._seen()

    def _lasts(self, host: _Host) -> float:
        config = self.config
        longest = max(config.base_ejection_s, config.max_ejection_s)
        return min(config.base_ejection_s * host.multiplier, longest)

    def _judge(self, now: float) -> None:
        config = self.config
        rates = {
            name: (100 * host.ok / calls, calls)
            for name, host in self._hosts.items()
            if (calls := host.ok + host.failed)
        }
        factor = config.success_rate_stdev_factor
        judged = {
            n: r for n, (r, calls) in rates.items() if calls >= config.request_volume
        }
        if factor is not None and len(judged) >= config.minimum_hosts:
            mean = sum(judged.values()) / len(judged)
            variance = sum((rate - mean) ** 2 for rate in judged.values()) / len(judged)
            least = mean - math.sqrt(variance) * factor / 1000
            for name, rate in judged.items():
                if rate < least:
                    self._eject(name, self._hosts[name], "success_rate", now)
        threshold = config.failure_percentage_threshold
        if threshold is None or len(self._hosts) < config.failure_hosts:
            return
        for name, (rate, calls) in rates.items():
            if calls >= config.failure_volume and 100 - rate > threshold:
                self._eject(name, self._hosts[name], "failure_percentage", now)

    def _eject(self, name: str, host: _Host, reason: str, now: float) -> bool:
        config = self.config
        if host.ejected_at is not None:
            return False
        out = sum(other.ejected_at is not None for other in self._hosts.values())
        # At least one may go, however few there are.
        if out and (out + 1) * 100 > config.max_ejection_percent * len(self._hosts):
            return False
        if self._rng.uniform(0, 100) >= config.enforcing_percent:
            return False
        host.ejected_at = now
        host.multiplier += 1
        event = BackendEjected(
            target=self._target, backend=name, reason=reason, for_s=self._lasts(host)
        )
        self._note(event)
        return True

    def _note(self, event: BackendEjected | BackendReturned) -> None:
        if self._listener is not None:
            self.news.append(event)

    def _seen(self) -> None:
        out = frozenset(n for n, h in self._hosts.items() if h.ejected_at is not None)
        if out != self._out:
            self._out = out
        left = len(self._hosts) - len(out)
        panic = left < self.config.panic_percent / 100 * len(self._hosts)
        self._barred = _NONE if panic else self._out

    def __repr__(self) -> str:
        return f"<Outliers {len(self._out)} of {len(self._hosts)} ejected>"
