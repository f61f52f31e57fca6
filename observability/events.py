"""Counts what policies report, by shape alone."""

from typing import Any

from observability import names
from observability.metrics import Metrics


class EventCounter:
    """A listener for any policy: each event's class is named in `names`."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.events

    def on_event(self, event: Any) -> None:
        """Count the event, by its name and by the target or name it tells."""
        kind = type(event).__name__
        name = names.EVENTS.get(kind, f"seawall.{kind}")
        target = getattr(event, "target", None) or getattr(event, "name", None) or ""
        self._events.labels(name, str(target)).inc()
