"""The plans of slow and of sampled statements, put on their spans as events.

A plan is asked for behind the caller's back, now and then for a statement, a gateway
and a home region, and remembered meanwhile. The first span waits for it to arrive
before it is ended, with its true end time; nobody waits for the span. How often a
process asks is bounded, whatever is slow.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.trace import Span

from cockroach.plan_tree import Plan
from cockroach.topology import Gateway
from observability import names

logger = logging.getLogger(__name__)

# What one process remembers, how many spans wait for a plan, and how long: the first
# two stay small as long as statements are written by people.
_MOST_PLANS = 512
_MOST_HELD = 32
_HELD_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPolicy:
    """Whose plan is asked for, and how often.

    `after_s`: statements that take this long or longer. `sample`: of all others one
    in so many, drawn by lot; 0 for none. `analyze`: run SELECTs once more to measure
    (see `plan_safety`), for at most `most_s`; else, and for writes, the plan holds
    estimates. `per_s` and `burst`: plans asked for per second and at once, in a
    process. `again_s`: a plan is asked for again when it is this old. Seconds.
    Raises ValueError on what cannot be.
    """

    after_s: float = 0.1
    sample: int = 0
    analyze: bool = True
    most_s: float = 1.0
    per_s: float = 1.0
    burst: int = 5
    again_s: float = 300.0

    def __post_init__(self) -> None:
        # Written so that NaN is refused too.
        if not (self.after_s >= 0 and self.again_s > 0 and self.per_s > 0):
            raise ValueError("after_s is 0 or more, again_s and per_s more than 0")
        if not 0 < self.most_s <= _HELD_S:
            raise ValueError(f"most_s must be in (0, {_HELD_S:g}]")
        if self.sample < 0 or self.burst < 1:
            raise ValueError("sample is 0 or more, burst at least 1")


class Allowance:
    """A token bucket that fills with time: `burst` at once, `per_s` in the long run.

    The usual algorithm (Turner, "New directions in communications", 1986). Full at
    first; `now` is seconds on any clock that does not go back.
    """

    __slots__ = ("_at", "_burst", "_per_s", "_tokens")

    def __init__(self, *, per_s: float, burst: int, now: float) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one if there is one."""
        gained = max(0.0, now - self._at) * self._per_s
        self._tokens = min(self._burst, self._tokens + gained)
        self._at = max(self._at, now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement as it was sent: what its plan depends on, and how it went."""

    gateway: Gateway
    home: str
    text: str
    params: Any = field(compare=False, repr=False)
    elapsed_s: float = field(compare=False, default=0.0)


@dataclass(frozen=True, slots=True)
class _Known:
    plan: Plan
    at: float


Ask = Callable[[Planned], Awaitable[Plan | None]]
# The statement, its span, when it ended (Unix ns), until when it may wait (clock, s).
_Held = tuple[Planned, Span, int, float]


class Plans:
    """Ends the spans of slow and sampled statements with their plans.

    `ask` explains one statement; None when it could not, then a later one tries
    again. It is called for one statement at a time and must end by itself.
    """

    def __init__(
        self,
        ask: Ask,
        policy: PlanPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.policy = policy
        self._after_s = policy.after_s
        self._share = 1.0 / policy.sample if policy.sample else 0.0
        self._random = (rng or random.Random()).random  # noqa: S311 - draws lots only
        self._clock = clock
        self._allowance = Allowance(per_s=policy.per_s, burst=policy.burst, now=clock())
        self._ask = ask
        self._known: dict[Planned, _Known] = {}
        self._asked: set[Planned] = set()
        self._asking: Planned | None = None
        self._held: deque[_Held] = deque()
        self._task: asyncio.Task[None] | None = None

    def wants(self, elapsed_s: float) -> bool:
        """Tell whether a statement that took so long is to have its plan."""
        return elapsed_s >= self._after_s or (
            self._share > 0.0 and self._random() < self._share
        )

    def end(self, span: Span, planned: Planned) -> None:
        """End the span of a statement, now or when its plan is here."""
        now = self._clock()
        known = self._known.get(planned)
        if known is not None and now - known.at < self.policy.again_s:
            _end(span, time.time_ns(), known, now)
            return
        if len(self._held) >= _MOST_HELD or not (
            planned in self._asked or self._allowance.take(now)
        ):
            # An old plan, with its age on it, is better than none.
            _end(span, time.time_ns(), known, now)
            return
        self._asked.add(planned)
        held = (planned, span, time.time_ns(), now + _HELD_S)
        self._held.append(held)
        loop = asyncio.get_running_loop()
        loop.call_later(_HELD_S, self._let_go, held)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())

    def _let_go(self, held: _Held) -> None:
        # A gateway may take its time over a plan. A span that came so late would be
        # missed by whoever looks at the trace.
        while any(one is held for one in self._held):
            planned, span, end_ns, _until = self._held.popleft()
            if planned != self._asking:
                self._asked.discard(planned)
            _end(span, end_ns, self._known.get(planned), self._clock())

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
            held = planned, span, end_ns, until = self._held[0]
            try:
                # Asked once: whoever waits for the same shares in the answer.
                if planned in self._asked and self._clock() < until:
                    self._asking = planned
                    plan = await self._ask(planned)
                    if plan is not None:
                        self._remember(planned, plan)
            except Exception:
                # Nobody waits for a plan; a span without one is better than none.
                logger.exception("no plan of a statement")
            self._asking = None
            self._asked.discard(planned)
            if self._held and self._held[0] is held:
                self._held.popleft()
                _end(span, end_ns, self._known.get(planned), self._clock())

    def _remember(self, planned: Planned, plan: Plan) -> None:
        self._known.pop(planned, None)
        while len(self._known) >= _MOST_PLANS:
            del self._known[next(iter(self._known))]
        # The values of one statement are not kept for as long as its plan.
        key = replace(planned, params=None)
        self._known[key] = _Known(plan, self._clock())


def _end(span: Span, end_ns: int, known: _Known | None, now: float) -> None:
    if known is not None:
        age_ms = round(max(0.0, now - known.at) * 1e3)
        attributes = {names.PLAN_AGE_MS: age_ms, **known.plan.attributes()}
        span.add_event(names.EVENT_SLOW_PLAN, attributes, end_ns)
    span.end(end_ns)
