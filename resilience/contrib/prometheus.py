"""The policies in Prometheus: gRPC's own client metrics, and what the policies did.

Needs the extra ``prometheus``. Names and buckets are gRFC A66's and A96's as
OpenTelemetry's Prometheus exporter spells them; what gRPC has no name for is
called ``resilience_*``.
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from resilience import _events as events
from resilience._outcome import Outcome

# Seconds, of gRFC A66.
LATENCY_BUCKETS: Final = (
    *(0.0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008),
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008),
    *(0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08),
    *(0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)
RETRY_BUCKETS: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0)
# A66's word for a method that was not known beforehand.
OTHER: Final = "other"

_CALL: Final = ("grpc_method", "grpc_target")
_BACKEND: Final = ("grpc_target", "backend")
_REFUSALS: Final = (
    "resilience_refusals",
    "Calls that were turned away, by policy.",
    (*_CALL, "policy"),
)
# What is counted of each event: the counter, what it tells, its labels.
_COUNTED: Final = MappingProxyType(
    {
        events.BreakerChanged: (
            "resilience_breaker_transitions",
            "Changes of a breaker's state.",
            ("breaker", "old", "new"),
        ),
        events.BreakerThresholdExceeded: (
            "resilience_breaker_threshold_exceeded",
            "Times a breaker that only watches would have opened.",
            ("breaker",),
        ),
        events.RetryScheduled: ("resilience_retries", "Retries decided on.", _CALL),
        events.RetryRefused: (
            "resilience_retries_refused",
            "Failures that could be retried and were not, by reason.",
            (*_CALL, "reason"),
        ),
        events.CallRefused: _REFUSALS,
        events.DeadlineRefused: _REFUSALS,
        events.CallCoalesced: (
            "resilience_coalesced",
            "Reads without a load of their own, by what answered them.",
            ("source",),
        ),
        events.FallbackServed: (
            "resilience_fallbacks",
            "Second best answers, by reason.",
            (*_CALL, "reason"),
        ),
        events.HedgeSent: ("resilience_hedges", "Hedges sent.", _CALL),
        events.HedgeRefused: (
            "resilience_hedges_refused",
            "Hedges that were due and not sent, by reason.",
            (*_CALL, "reason"),
        ),
        events.BackendPicked: (
            "resilience_picks",
            "Calls given to a backend.",
            _BACKEND,
        ),
        events.BackendEjected: (
            "resilience_ejections",
            "Times a backend was ejected.",
            _BACKEND,
        ),
        events.FaultInjected: (
            "resilience_faults_injected",
            "Faults that a test put into calls.",
            ("grpc_method", "code"),
        ),
    }
)
# Where a label is not called as the event's field.
_FIELDS: Final = MappingProxyType(
    {"grpc_method": "method", "grpc_target": "target", "breaker": "name"}
)


class PrometheusEvents:
    """A listener and an observer in one, for any number of channels.

    Make one for a registry and give it to every channel and server as
    ``listener`` and as ``observer``; a second one on the same registry is
    refused with ValueError. The first *max_values* values of each label (methods,
    targets, breakers, backends) are told by name, all later ones as "other".
    *buckets* are those of the durations, in seconds.

    gRPC's transparent retries happen below the interceptors, so that their
    metric of A96 is not here.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry = REGISTRY,
        max_values: int = 100,
        buckets: Sequence[float] = LATENCY_BUCKETS,
    ) -> None:
        if max_values < 1:
            raise ValueError("max_values must be at least 1")
        self._max = max_values
        self._known: dict[str, set[str]] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        made: dict[str, Counter] = {}
        for name, text, labels in _COUNTED.values():
            if name not in made:
                made[name] = Counter(name, text, labels, registry=registry)
        self._counters = {
            kind: (made[name], labels) for kind, (name, _, labels) in _COUNTED.items()
        }
        gauge = partial(Gauge, registry=registry)
        self._state = gauge(
            "resilience_breaker_state",
            "1 for the state that the breaker is in.",
            ["breaker", "state"],
        )
        self._limit = gauge(
            "resilience_limit", "Calls at once that it seems to bear.", ["name"]
        )
        self._out = gauge(
            "resilience_backend_ejected", "1 while the backend is ejected.", _BACKEND
        )
        self._gauges: dict[type, Callable[[Any], None]] = {
            events.BreakerChanged: self._breaker_changed,
            events.LimitChanged: self._limit_changed,
            events.BackendEjected: partial(self._backend, out=1),
            events.BackendReturned: partial(self._backend, out=0),
        }
        self._grpc_metrics(registry, buckets)

    def _grpc_metrics(
        self, registry: CollectorRegistry, buckets: Sequence[float]
    ) -> None:
        done = (*_CALL, "grpc_status")
        seconds = partial(Histogram, registry=registry, buckets=buckets)
        count = partial(Histogram, registry=registry, buckets=RETRY_BUCKETS)
        self._attempts = Counter(
            "grpc_client_attempt_started",
            "RPC attempts started, also those that have not ended.",
            _CALL,
            registry=registry,
        )
        self._attempt_seconds = seconds(
            "grpc_client_attempt_duration_seconds", "How long an attempt took.", done
        )
        self._call_seconds = seconds(
            "grpc_client_call_duration_seconds",
            "How long a call took for its caller, retries included.",
            done,
        )
        self._call_retries = count(
            "grpc_client_call_retries", "Retries of a call that had any.", _CALL
        )
        self._call_hedges = count(
            "grpc_client_call_hedges", "Hedges of a call that had any.", _CALL
        )
        self._retry_delay = seconds(
            "grpc_client_call_retry_delay_seconds",
            "Time of a retried call without any attempt under way.",
            _CALL,
        )

    def on_event(self, event: Any) -> None:
        """Count *event*; one of a class that is not known is left out."""
        kind = type(event)
        counted = self._counters.get(kind)
        if counted is not None:
            counter, labels = counted
            counter.labels(*[self._value(event, label) for label in labels]).inc()
        show = self._gauges.get(kind)
        if show is not None:
            show(event)

    def attempt_started(
        self,
        target: str,
        method: str,
        attempt: int,  # noqa: ARG002  # of the protocol
        metadata: list[tuple[str, str | bytes]],  # noqa: ARG002
    ) -> "AttemptTimer":
        """Count the attempt and wait for its end; see AttemptObserver."""
        pair = self._pair(target, method)
        self._attempts.labels(*pair).inc()
        return AttemptTimer(self._attempt_seconds, pair)

    def call_finished(
        self,
        target: str,
        method: str,
        *,
        code: str | None,
        duration_s: float,
        retries: int = 0,
        hedges: int = 0,
        retry_delay_s: float = 0.0,
    ) -> None:
        """Tell how a whole call ended, whatever its attempts did."""
        pair = self._pair(target, method)
        self._call_seconds.labels(*pair, code or "UNKNOWN").observe(duration_s)
        # A96: a call without any is not in these.
        if retries:
            self._call_retries.labels(*pair).observe(retries)
        if hedges:
            self._call_hedges.labels(*pair).observe(hedges)
        if retry_delay_s:
            self._retry_delay.labels(*pair).observe(retry_delay_s)

    def _pair(self, target: str, method: str) -> tuple[str, str]:
        pair = self._pairs.get((target, method))
        if pair is None:
            pair = (
                self._cap("grpc_method", method.removeprefix("/")),
                self._cap("grpc_target", target),
            )
            if OTHER not in pair:
                self._pairs[target, method] = pair
        return pair

    def _value(self, event: Any, label: str) -> str:
        # A DeadlineRefused has no field to say which policy it was.
        value = getattr(event, _FIELDS.get(label, label), "deadline") or ""
        if label == "grpc_method":
            value = value.removeprefix("/")
        return self._cap(label, value)

    def _cap(self, label: str, value: str) -> str:
        known = self._known.setdefault(label, set())
        if value in known:
            return value
        if len(known) >= self._max:
            return OTHER
        known.add(value)
        return value

    def _breaker_changed(self, event: events.BreakerChanged) -> None:
        name = self._cap("breaker", event.name)
        # The gauge of many breakers in one would be the state of none.
        if name != OTHER:
            self._state.labels(name, event.old).set(0)
            self._state.labels(name, event.new).set(1)

    def _limit_changed(self, event: events.LimitChanged) -> None:
        name = self._cap("limit", event.name)
        if name != OTHER:
            self._limit.labels(name).set(event.new)

    def _backend(
        self, event: events.BackendEjected | events.BackendReturned, *, out: int
    ) -> None:
        labels = [self._value(event, label) for label in _BACKEND]
        if OTHER not in labels:
            self._out.labels(*labels).set(out)

    def __repr__(self) -> str:
        told = ", ".join(
            f"{label}: {len(known)}" for label, known in sorted(self._known.items())
        )
        return f"<PrometheusEvents {told or 'nothing yet'}>"


class AttemptTimer:
    """A running attempt."""

    __slots__ = ("_pair", "_seconds")

    def __init__(self, seconds: Histogram, pair: tuple[str, str]) -> None:
        self._seconds = seconds
        self._pair = pair

    def finished(self, outcome: Outcome) -> None:
        """Record how long it took and with which status it ended."""
        code = outcome.code or ("CANCELLED" if outcome.cancelled_by else "UNKNOWN")
        self._seconds.labels(*self._pair, code).observe(outcome.latency_s)
