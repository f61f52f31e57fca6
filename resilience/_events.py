"""What the policies did, as plain values for one listener."""

import logging
from dataclasses import dataclass
from typing import Any, Literal, Protocol

_LOG = logging.getLogger(__name__)


class Listener(Protocol):
    """Whoever wants to know: a tracer, a counter, a test."""

    def on_event(self, event: Any) -> None:
        """Take one of the events of this module; must be quick, must not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerMetrics:
    """A breaker's window at one moment.

    Rates are fractions, None while fewer than the minimum calls are known.
    *total_s* is how many seconds the counted calls took together.
    """

    calls: int = 0
    failed: int = 0
    slow: int = 0
    failure_rate: float | None = None
    slow_rate: float | None = None
    not_permitted: int = 0
    total_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    """A breaker went from one state to another."""

    name: str
    old: str
    new: str
    reason: str
    metrics: BreakerMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerThresholdExceeded:
    """A breaker that only watches would have opened now."""

    name: str
    reason: str
    metrics: BreakerMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled:
    """Attempt number *attempt* failed with *code*; another follows *delay_s* later."""

    target: str
    method: str
    attempt: int
    delay_s: float
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRefused:
    """A failure that could be retried was not, and why."""

    target: str
    method: str
    attempt: int
    reason: Literal["budget", "attempts", "deadline", "pushback", "committed"]
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused:
    """A policy turned a call away before it was sent (or served)."""

    policy: str
    target: str
    method: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCoalesced:
    """A read was answered without a load of its own."""

    key: str
    source: str
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackServed:
    """A caller got the second best answer, and why."""

    target: str
    method: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRefused:
    """A call was not sent (or served): too little time was left."""

    target: str
    method: str
    remaining_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeSent:
    """Attempt number *attempt* was sent while the ones before it still ran."""

    target: str
    method: str
    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeRefused:
    """A hedge was due and was not sent, and why."""

    target: str
    method: str
    attempt: int
    reason: Literal["budget", "load", "pushback", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChanged:
    """An adaptive limit learnt that *name* bears more or fewer calls at once."""

    name: str
    old: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendPicked:
    """A balancer chose *backend* for a call, among *candidates* with their scores."""

    target: str
    method: str
    policy: str
    backend: str
    reason: str
    candidates: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendEjected:
    """*backend* gets no calls for *for_s* seconds, and why."""

    target: str
    backend: str
    reason: str
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReturned:
    """*backend* gets calls again."""

    target: str
    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInjected:
    """A test's fault was put into a call: a delay, a status, or both."""

    method: str
    delay_s: float
    code: str | None


def emit(listener: Listener | None, event: object) -> None:
    """Hand *event* over; a listener that raises never fails the call."""
    if listener is None:
        return
    try:
        listener.on_event(event)
    except Exception:  # noqa: BLE001  # whatever a tracer raises is its own
        _LOG.exception("a listener failed on %r", event)
