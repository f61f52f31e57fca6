"""One span per attempt of a call; what the server did hangs under its attempt."""

from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Tracer

from observability import names, rpc

_REPLACED = frozenset({"traceparent", "tracestate"})


class AttemptSpans:
    """Watches attempts; fits `resilience`'s observer by shape alone."""

    def __init__(
        self, tracer: Tracer, *, remaining: Callable[[], float | None] | None = None
    ) -> None:
        """`remaining` tells the seconds left of the caller's deadline, if any."""
        self._tracer = tracer
        self._remaining = remaining

    def attempt_started(
        self,
        target: str,
        method: str,
        attempt: int,
        metadata: list[tuple[str, str | bytes]],
    ) -> "AttemptSpan":
        """Start a span and put it into the metadata as the server's parent.

        `attempt` counts from 1.
        """
        full = rpc.full_method(method)
        attributes: dict[str, Any] = {
            **rpc.attributes(full),
            names.ATTEMPT_TARGET: target,
            names.PREVIOUS_ATTEMPTS: attempt - 1,
        }
        left = self._remaining() if self._remaining else None
        if left is not None:
            attributes[names.DEADLINE_REMAINING_MS] = round(left * 1000, 3)
        span = self._tracer.start_span(
            names.SPAN_ATTEMPT, kind=SpanKind.CLIENT, attributes=attributes
        )
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context=trace.set_span_in_context(span))
        metadata[:] = [pair for pair in metadata if pair[0] not in _REPLACED]
        metadata.extend((key.lower(), value) for key, value in carrier.items())
        return AttemptSpan(span)


class AttemptSpan:
    """A running attempt; finishing it twice changes nothing."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def finished(self, outcome: Any) -> None:
        """End the span with the outcome's code and with who cancelled it, if any."""
        span = self._span
        if not span.is_recording():
            return
        code = getattr(outcome, "code", None)
        if isinstance(code, grpc.StatusCode):
            code = code.name
        cancelled_by = getattr(outcome, "cancelled_by", None)
        if cancelled_by:
            span.set_attribute(names.CANCELLED_BY, str(cancelled_by))
        refusal = getattr(outcome, "refusal", None)
        if refusal:
            span.set_attribute(names.REFUSAL, str(refusal))
        name = str(code) if code else ("CANCELLED" if cancelled_by else "UNKNOWN")
        rpc.set_code(span, name, error=name != "OK")
        span.end()
