"""A client span for every statement on the wire, and nothing else.

The spans are made where the driver sends, so that BEGIN and COMMIT have theirs,
opening a connection has none, and time spent compiling does not count.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from cockroach import statements
from cockroach.plans import Planned, Plans
from cockroach.routing import Decision
from observability import names

_CLIENT = SpanKind.CLIENT
_also: ContextVar[Mapping[str, Any] | None] = ContextVar(
    "span_attributes", default=None
)


class Note:
    """What the layer above knows about the next statements of one connection.

    The driver writes back `elapsed_s`, the time the last one spent on the wire.
    `plans` ends the spans of slow and sampled ones; without it none has a plan.
    `rewrite` makes of a statement's text what is sent instead.
    """

    __slots__ = (
        "decision",
        "elapsed_s",
        "key",
        "plans",
        "rewrite",
        "text",
        "tracer",
    )

    def __init__(
        self,
        tracer: trace.Tracer,
        decision: Decision,
        key: object = None,
        *,
        plans: Plans | None = None,
    ) -> None:
        self.tracer = tracer
        self.decision = decision
        self.key = key
        self.plans = plans
        self.rewrite: Callable[[str], str] | None = None
        self.elapsed_s = 0.0
        self.text = ""

    def start(self, text: str, params: object, *, batch: int = 0) -> Span:
        """Open the span of one statement."""
        self.text = text
        name, constant = statements.describe(text)
        attributes: dict[str, Any] = {**self.decision.attributes, **constant}
        if constant[names.DB_OPERATION] not in names.TRANSACTION_CONTROL:
            attributes[names.DB_KEY] = load_key(self.key, params)
        if self.decision.scores:
            attributes[names.BALANCER_SCORES] = self.decision.scores_text
        if batch > 1:
            attributes[names.DB_BATCH_SIZE] = batch
        if (also := _also.get()) is not None:
            attributes.update(also)
        return self.tracer.start_span(name, kind=_CLIENT, attributes=attributes)

    def end(self, span: Span, elapsed_s: float, params: object) -> None:
        """End the span of a statement that spent so long on the wire."""
        self.elapsed_s = elapsed_s
        plans = self.plans
        if (
            plans is None
            or not plans.wants(elapsed_s)
            or not span.is_recording()
            or statements.controls(self.text)
        ):
            span.end()
            return
        chosen = self.decision
        plans.end(
            span,
            Planned(chosen.gateway, chosen.home, self.text, params, elapsed_s),
        )


@contextmanager
def also(attributes: Mapping[str, Any]) -> Iterator[None]:
    """Put attributes on the spans of the statements sent inside."""
    token = _also.set(attributes)
    try:
        yield
    finally:
        _also.reset(token)


def load_key(key: object, params: object) -> str:
    """Identify a load: what the caller says, or a checksum of the parameters."""
    if key is not None:
        return str(key)
    if not params:
        return "-"
    if isinstance(params, Mapping):
        params = tuple(params.values())
    return f"{zlib.crc32(repr(params).encode()):08x}"


def left(span: Span) -> None:
    """Mark the span of a statement whose caller did not wait for the answer."""
    span.set_attribute(names.CANCELLED_BY, "caller")
    span.set_status(Status(StatusCode.ERROR, "left by its caller"))


def failed(span: Span, error: BaseException) -> None:
    """Mark a statement's span with what the server said."""
    state = getattr(error, "sqlstate", None)
    if state:
        span.set_attribute(names.DB_STATUS, state)
    span.set_attribute(names.ERROR_TYPE, state or type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, str(error).partition("\n")[0][:200]))


def pool_wait(
    tracer: trace.Tracer, attributes: Mapping[str, Any], waited_s: float
) -> None:
    """Record a wait for a connection that has just ended."""
    end = time.time_ns()
    span = tracer.start_span(
        names.SPAN_POOL_ACQUIRE,
        attributes={**attributes, names.POOL_WAIT_MS: round(waited_s * 1e3, 3)},
        start_time=end - int(waited_s * 1e9),
    )
    span.end(end)
