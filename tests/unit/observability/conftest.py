"""A maker of spans: times in milliseconds, ids by name."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from observability.spans import Span


@pytest.fixture
def make() -> Callable[..., Span]:
    numbers = itertools.count(1)

    def one(
        name: str = "work",
        start: float = 0,
        end: float = 1,
        *,
        parent: Span | None = None,
        trace: str = "t1",
        kind: str = "INTERNAL",
        service: str = "orders",
        status: str = "UNSET",
        region: str = "eu",
        events: Any = (),
        tags: Any = None,
    ) -> Span:
        return Span(
            trace_id=parent.trace_id if parent else trace,
            span_id=f"s{next(numbers)}",
            parent_id=parent.span_id if parent else None,
            name=name,
            kind=kind,
            service=service,
            region=region,
            start_ns=int(start * 1e6),
            end_ns=int(end * 1e6),
            status=status,
            attributes=dict(tags or {}),
            events=tuple(events),
        )

    return one
