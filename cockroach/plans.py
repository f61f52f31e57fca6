"""The plans of slow statements, put on their spans as events.

The plan is asked for behind the caller's back, once for a statement, a gateway and a
home region, and remembered. The first slow span waits for it to arrive before it is
ended, with its true end time; nobody waits for the span.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import Span

from cockroach.topology import REGIONS, Gateway
from observability import names

logger = logging.getLogger(__name__)

# What one process remembers, and how many spans wait for a plan: both stay small as
# long as statements are written by people.
_MOST_PLANS = 512
_MOST_HELD = 32
_HELD_S = 2.0
_MOST_CHARACTERS = 2000
_LITERAL = re.compile(r"'((?:[^']|'')*)'|(?<=[=<>] )-?\d+(?:\.\d+)?")
_REGIONS = frozenset(REGIONS)


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement as it was sent: what its plan depends on, and the parameters."""

    gateway: Gateway
    home: str
    text: str
    params: Any = field(compare=False, repr=False)


Ask = Callable[[Planned], Awaitable[str | None]]


class Plans:
    """Ends the spans of slow statements with their plans.

    `ask` explains one statement; None when it could not, then a later one tries
    again. It is called for one statement at a time and must end by itself.
    """

    def __init__(self, ask: Ask, *, slow_s: float) -> None:
        self.slow_s = slow_s
        self._ask = ask
        self._known: dict[Planned, str] = {}
        self._held: deque[tuple[Planned, Span, int, float]] = deque()
        self._task: asyncio.Task[None] | None = None

    def end(self, span: Span, planned: Planned) -> None:
        """End the span of a statement that was slow, now or when its plan is here."""
        plan = self._known.get(planned)
        if plan is not None:
            _end(span, time.time_ns(), plan)
            return
        if len(self._held) >= _MOST_HELD or len(self._known) >= _MOST_PLANS:
            span.end()
            return
        until = time.monotonic() + _HELD_S
        self._held.append((planned, span, time.time_ns(), until))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Stop asking and end the spans that wait."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while self._held:
            _planned, span, end_ns, _until = self._held.popleft()
            span.end(end_ns)

    async def _work(self) -> None:
        while self._held:
            planned, span, end_ns, until = self._held[0]
            plan = self._known.get(planned)
            try:
                if plan is None and time.monotonic() < until:
                    plan = await self._ask(planned)
                    if plan is not None:
                        self._known[planned] = plan
            except Exception:
                # Nobody waits for a plan; a span without one is better than none.
                logger.exception("no plan of a slow statement")
            self._held.popleft()
            _end(span, end_ns, plan)


def redact(lines: list[str]) -> str:
    """Make a plan that holds names only: of the values, regions alone are left.

    At most 2000 characters.
    """
    # As a whole: a value with a line break in it spans lines of the plan.
    text = _LITERAL.sub(_or_region, "\n".join(lines))
    # The columns and, for an INSERT, the very row: the statement says it better.
    kept = [
        line for line in text.splitlines() if not line.lstrip().startswith("Output:")
    ]
    return "\n".join(kept)[:_MOST_CHARACTERS]


def _or_region(found: re.Match[str]) -> str:
    return found[0] if found[1] in _REGIONS else "?"


def _end(span: Span, end_ns: int, plan: str | None) -> None:
    if plan is not None:
        span.add_event(names.EVENT_SLOW_PLAN, {names.DB_PLAN: plan}, end_ns)
    span.end(end_ns)
