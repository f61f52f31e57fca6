"""Reservations that came while others were under way, taken together after them.

A product that everybody wants is one row, and a row has one writer at a time. Callers
who go there side by side lose to each other, over and over; here they stand in line,
and whoever is in line when it moves goes as one.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from cockroach.ids import PublicId
from resilience import Deadline, current_deadline, deadline_scope
from services.inventory.domain import Line

#: The orders that one transaction takes; the next ones come right after.
MOST = 20


@dataclass(slots=True, eq=False)
class Wanted:
    """One order's lines, and where its outcome goes."""

    order: PublicId
    lines: Sequence[Line]
    deadline: Deadline | None
    done: asyncio.Future[None]
    # Whose trace the statements are in when he is the first of those who go together.
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


Reserve = Callable[[Sequence[Wanted]], Awaitable[Sequence[Exception | None]]]


class Together:
    """One line of callers for a process; one batch at a time. For one event loop.

    `reserve` takes the orders of a batch, each wholly or not at all, and gives the
    outcome of each; what it raises is everybody's.
    """

    def __init__(self, reserve: Reserve) -> None:
        self._reserve = reserve
        self._line: deque[Wanted] = deque()
        self._moving: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Together {len(self._line)} in line>"

    async def reserve(self, order: PublicId, lines: Sequence[Line]) -> None:
        """Get in line, and wait for the outcome. Raises what the store tells of it."""
        loop = asyncio.get_running_loop()
        wanted = Wanted(order, lines, current_deadline(), loop.create_future())
        self._line.append(wanted)
        if self._moving is None:
            self._moving = loop.create_task(self._move())
        try:
            await wanted.done
        except asyncio.CancelledError:
            if wanted in self._line:
                self._line.remove(wanted)
            raise

    async def _move(self) -> None:
        try:
            while self._line:
                count = min(MOST, len(self._line))
                batch = [self._line.popleft() for _ in range(count)]
                work = asyncio.get_running_loop().create_task(
                    self._take(batch), context=batch[0].context
                )
                await work
        finally:
            self._moving = None

    async def _take(self, batch: Sequence[Wanted]) -> None:
        deadlines = [one.deadline for one in batch if one.deadline is not None]
        # The most patient one lends the others his time; who leaves is not waited for.
        patient = max(deadlines, key=lambda one: one.remaining(), default=None)
        lent = patient if len(deadlines) == len(batch) else None
        try:
            # Lifted first: the one whose trace this is may be in a greater hurry.
            with deadline_scope(None), deadline_scope(lent):
                outcomes = await self._reserve(batch)
        except Exception as error:  # noqa: BLE001 - each caller has to hear of it
            outcomes = [error] * len(batch)
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.done.done():
                continue
            if outcome is None:
                one.done.set_result(None)
            else:
                one.done.set_exception(outcome)
                # Nobody may be left to hear of it.
                one.done.exception()
