"""The policies in OpenTelemetry's traces: a span per attempt, an event per decision.

Needs the extra ``opentelemetry`` (the API alone; the SDK is the program's choice).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from resilience._deadline import CURRENT
from resilience._outcome import Outcome
from resilience.contrib import _names as names

_REPLACED: Final = frozenset({"traceparent", "tracestate"})
# One per call and a part of it: no span of their own where there is none.
_PER_CALL: Final = frozenset({"BackendPicked", "FaultInjected"})


class AttemptSpans:
    """An observer: each attempt is a client span, and the server span's parent.

    Attributes are those of the RPC conventions, with ``previous-rpc-attempts``
    as gRFC A72 has it, and ``seawall.*`` for the target, the milliseconds that
    were left of the deadline, who cancelled, and whose policy refused. Spans
    are named "attempt"; with *grpc_names* as A72 names them,
    "Attempt.pkg.Service.Method".
    """

    def __init__(self, tracer: Tracer, *, grpc_names: bool = False) -> None:
        self._tracer = tracer
        self._grpc_names = grpc_names

    def attempt_started(
        self,
        target: str,
        method: str,
        attempt: int,
        metadata: list[tuple[str, str | bytes]],
    ) -> "AttemptSpan":
        """Start a span and put it into *metadata* as the parent; see AttemptObserver.

        A parent that stands there already, the call's own, is replaced.
        """
        name, known = _method(method, grpc_names=self._grpc_names)
        attributes: dict[str, Any] = {
            **known,
            names.ATTEMPT_TARGET: target,
            names.PREVIOUS_ATTEMPTS: attempt - 1,
        }
        deadline = CURRENT.get()
        if deadline is not None:
            left = round(deadline.remaining() * 1000, 3)
            attributes[names.DEADLINE_REMAINING_MS] = left
        span = self._tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=attributes
        )
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context=trace.set_span_in_context(span))
        replaced = _REPLACED.union(key.lower() for key in carrier)
        metadata[:] = [pair for pair in metadata if pair[0] not in replaced]
        metadata.extend((key.lower(), value) for key, value in carrier.items())
        return AttemptSpan(span)

    def __repr__(self) -> str:
        return "<AttemptSpans>"


class AttemptSpan:
    """A running attempt; finishing it twice changes nothing."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def finished(self, outcome: Outcome) -> None:
        """End the span with the outcome's code, and whose fault it was."""
        span = self._span
        if not span.is_recording():
            # Not sampled, or ended before; an unsampled one need not be ended.
            return
        if outcome.cancelled_by:
            span.set_attribute(names.CANCELLED_BY, outcome.cancelled_by)
        if outcome.refusal:
            span.set_attribute(names.REFUSAL, outcome.refusal)
        if outcome.origin:
            span.set_attribute(names.ORIGIN, outcome.origin)
        code = outcome.code or ("CANCELLED" if outcome.cancelled_by else "UNKNOWN")
        span.set_attribute(names.RPC_STATUS, code)
        if code != "OK":
            span.set_attribute(names.ERROR_TYPE, code)
            span.set_status(Status(StatusCode.ERROR, code))
        span.end()


class SpanEvents:
    """A listener: each event is put on the current span, named as in `EVENTS`.

    An event's fields become its attributes, nested ones as JSON. Outside of any
    span (a timer, a probe) an event gets a span of its own, so that no change
    goes unseen. *more* names further event classes; one without any name is
    called ``seawall.`` and its class.
    """

    EVENTS: Final = names.EVENTS

    def __init__(self, tracer: Tracer, more: Mapping[str, str] | None = None) -> None:
        self._tracer = tracer
        self._names = {**names.EVENTS, **(more or {})}

    def on_event(self, event: Any) -> None:
        """Put *event* on the current span."""
        span = trace.get_current_span()
        kind = type(event).__name__
        recording = span.is_recording()
        if not recording and kind in _PER_CALL:
            return
        name = self._names.get(kind) or f"seawall.{kind}"
        attributes = _attributes(event)
        if recording:
            span.add_event(name, attributes)
            return
        own = self._tracer.start_span(name)
        own.add_event(name, attributes)
        own.end()

    def __repr__(self) -> str:
        return f"<SpanEvents {len(self._names)} names>"


@lru_cache(maxsize=1024)
def _method(path: str, *, grpc_names: bool) -> tuple[str, Mapping[str, str]]:
    method = path.removeprefix("/")
    known = {names.RPC_SYSTEM_NAME: "grpc", names.RPC_METHOD: method}
    a72 = f"Attempt.{method.replace('/', '.')}"
    return a72 if grpc_names else names.SPAN_ATTEMPT, MappingProxyType(known)


def _attributes(event: Any) -> dict[str, str | int | float | bool]:
    if not is_dataclass(event):
        return {}
    found: dict[str, str | int | float | bool] = {}
    for item in fields(event):
        value = getattr(event, item.name)
        if isinstance(value, Enum):
            value = value.value
        if value is None:
            continue
        if isinstance(value, (str, int, float, bool)):
            found[item.name] = value
        elif is_dataclass(value) and not isinstance(value, type):
            found[item.name] = json.dumps(asdict(value), default=str)
        elif isinstance(value, Mapping):
            found[item.name] = json.dumps(dict(value), default=str)
        else:
            found[item.name] = str(value)
    return found
