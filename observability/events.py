"""Turns what policies report into span events and counters, by shape alone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Tracer

from observability import names
from observability.metrics import Metrics


class EventRecorder:
    """A listener for any policy: each event is a frozen dataclass named in `names`."""

    def __init__(self, tracer: Tracer, metrics: Metrics | None = None) -> None:
        self._tracer = tracer
        self._metrics = metrics

    def on_event(self, event: Any) -> None:
        """Add the event to the current span and count it.

        Outside of a span (a timer, a background probe) it gets a span of its own,
        so that no transition goes unseen.
        """
        kind = type(event).__name__
        name = names.EVENTS.get(kind, f"seawall.{kind}")
        attributes = _attributes(event)
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(name, attributes)
        else:
            own = self._tracer.start_span(name)
            own.add_event(name, attributes)
            own.end()
        if self._metrics is not None:
            target = attributes.get("target") or attributes.get("name") or ""
            self._metrics.events.labels(name, str(target)).inc()


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
