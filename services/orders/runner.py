"""Runs an order's saga as far as it goes, and says where it stopped."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from cockroach.errors import DatabaseError
from services.orders.domain import Order, OrderState
from services.orders.saga import WRITES, End, Outcome, Saga
from services.orders.steps import Steps
from services.orders.store import OrderStore

#: How often a saga that was overtaken looks again before it leaves it for later.
MAX_RELOADS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """An order after a run; `paused` with the error that stopped it, if one did."""

    order: Order
    paused: bool = False
    error: Exception | None = None

    @property
    def decided(self) -> bool:
        """Whether the customer can be told the outcome."""
        return not self.paused or self.order.state is OrderState.REJECTING


class Runner:
    """Takes an order from the state it is in through the steps that follow."""

    def __init__(self, store: OrderStore, steps: Steps) -> None:
        self._store = store
        self._steps = steps

    async def run(
        self, order: Order, *, hurry: Callable[[float], bool] = lambda _: False
    ) -> Run:
        """Run until the order is final, a step's outcome is unknown, or in a hurry.

        `hurry` is asked before each step with the seconds that the run took so far;
        the steps left are then somebody else's.
        """
        began = time.monotonic()
        reloads = 0
        saga = Saga.at(order.state)
        while saga.end is not End.FINISHED:
            if saga.end is End.RELOAD:
                reloads += 1
                try:
                    found = await self._store.find_all(order.id.region, [order.id.uuid])
                except DatabaseError as error:
                    return Run(order, paused=True, error=error)
                if reloads > MAX_RELOADS or not found:
                    return Run(order, paused=True)
                order = found[0]
                saga = Saga.at(order.state)
                continue
            assert saga.step is not None
            if hurry(time.monotonic() - began):
                return Run(order, paused=True)
            step = saga.step
            result = await self._steps.take(step, order, saga.rejection)
            if result.outcome is Outcome.DONE and step in WRITES:
                order = order.moved(WRITES[step], saga.rejection)
            saga = saga.after(result.outcome, result.reason)
            if saga.end is End.PAUSED:
                return Run(order, paused=True, error=result.error)
        return Run(order)
