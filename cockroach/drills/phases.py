"""The phases of a drill: spans while they last, and figures for the result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace

from observability import names


class Phases:
    """Times phases by one clock and makes each a span below the drill's."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._rows: list[tuple[str, float, float]] = []

    def __repr__(self) -> str:
        return f"<Phases {', '.join(name for name, _, _ in self._rows)}>"

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what is done inside; a phase that raises is timed all the same."""
        began = time.monotonic()
        with self._tracer.start_as_current_span(f"{names.SPAN_DRILL} {name}"):
            try:
                yield
            finally:
                self._rows.append((name, began, time.monotonic()))

    def seconds(self, name: str) -> float:
        """Give how long a phase took, 0 when there was none."""
        return sum(end - began for one, began, end in self._rows if one == name)

    def document(self, since: float) -> list[dict[str, Any]]:
        """Give name, start after `since` and length of each, in seconds."""
        return [
            {
                "name": name,
                "start_s": round(began - since, 3),
                "seconds": round(end - began, 3),
            }
            for name, began, end in self._rows
        ]
