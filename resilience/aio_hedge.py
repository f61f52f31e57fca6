"""Hedged calls for grpc.aio: attempts side by side, the first good answer wins."""

import asyncio
from collections.abc import Callable
from typing import Any

from grpc import aio

from resilience._attempt import TRIED, Attempt
from resilience._errors import BulkheadFullError, ResilienceError
from resilience._events import HedgeRefused, HedgeSent, emit
from resilience._hedge import HedgeState
from resilience._retry import parse_pushback
from resilience._slot import Failure, Slot
from resilience.aio_attempt import enter
from resilience.aio_calls import EndedUnaryUnary
from resilience.aio_errors import as_rpc_error

_Ended = tuple[Any, Failure | None, aio.AioRpcError | None]
_One = Callable[[Attempt, int], Any]


def hedge_delay(slot: Slot) -> float | None:
    """Return the seconds after which a call is hedged, None while that is unknown."""
    config = slot.hedge
    assert config is not None
    if config.delay_s is not None:
        return max(config.delay_s, config.min_delay_s)
    assert slot.latencies is not None and config.percentile is not None  # noqa: PT018
    found = slot.latencies.value(config.percentile)
    return None if found is None else max(found, config.min_delay_s)


class Hedged:
    """One call and its attempts; whatever way it ends, none of them goes on."""

    def __init__(
        self,
        slot: Slot,
        request: Any,
        metadata: Any,
        timeout: float | None,
        one: _One,
    ) -> None:
        assert slot.hedge is not None
        self._slot = slot
        self._request = request
        self._metadata = metadata
        self._clock = slot.chain.clock
        self._one = one
        self._ends_at = None if timeout is None else self._clock() + timeout
        self._delay_s = hedge_delay(slot)
        self._state = HedgeState(slot.hedge, self._delay_s)
        self._running: dict[asyncio.Task[_Ended], Attempt] = {}

    @property
    def extra(self) -> int:
        """How many attempts were sent beyond the first."""
        return max(0, self._state.sent - 1)

    async def run(self) -> tuple[Any, aio.AioRpcError | None]:
        """Return the winner's call, or the last loser's with its error."""
        assert self._slot.extra_load is not None
        self._slot.extra_load.called()
        # The attempts run in tasks of their own, and are to see each other's.
        TRIED.set(set())
        raced = False
        try:
            try:
                await self._send()
            except ResilienceError as refusal:
                return EndedUnaryUnary(refusal), as_rpc_error(refusal)
            found = await self._race()
            raced = True
            return found
        finally:
            for task, attempt in self._running.items():
                # Whose caller gave up has lost against nobody.
                attempt.superseded = raced
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)

    async def _send(self) -> None:
        slot, state = self._slot, self._state
        left = None if self._ends_at is None else self._ends_at - self._clock()
        attempt = slot.begin(
            slot.attempt_timeout(left),
            streaming=False,
            request=self._request,
            metadata=self._metadata,
        )
        if not self._running:
            await enter(slot, attempt)
        elif slot.bulkhead is not None:
            # Waiting for a place would take our eyes off the attempts that run.
            if not slot.bulkhead.try_enter():
                attempt.abandon()
                raise BulkheadFullError(slot.bulkhead.name, slot.bulkhead.config.limit)
            attempt.bulkhead = slot.bulkhead
        number = state.send(self._clock())
        attempt.hedged = number > 1
        task = asyncio.get_running_loop().create_task(self._one(attempt, number))
        self._running[task] = attempt

    async def _race(self) -> tuple[Any, aio.AioRpcError | None]:
        state = self._state
        while True:
            wait = None
            if state.due_at is not None:
                wait = max(0.0, state.due_at - self._clock())
            if self._running:
                done, _ = await asyncio.wait(
                    self._running, timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
            else:
                await asyncio.sleep(wait or 0.0)
                done = set()
            for task in done:
                del self._running[task]
                call, failure, error = task.result()
                if failure is None or self._lost(failure):
                    return call, error
                self._last = call, error
            if state.due_at is not None and self._clock() >= state.due_at:
                await self._hedge()
            if not self._running and state.due_at is None:
                return self._last

    def _lost(self, failure: Failure) -> bool:
        """Take in a failed attempt; return whether it is the whole call's answer."""
        slot = self._slot
        pushback = parse_pushback(failure.pushback)
        over = self._state.failed(failure.code, self._clock(), pushback_s=pushback)
        fatal = failure.code not in self._state_codes
        allowed = fatal or slot.bucket is None or slot.bucket.failed()
        if not allowed:
            self._refuse("budget")
            over = self._state.outstanding == 0
        elif pushback is not None and pushback < 0 and not fatal:
            self._refuse("pushback")
        if over:
            slot.note_failure(failure, no_retry=not allowed)
        return over

    @property
    def _state_codes(self) -> frozenset[str]:
        assert self._slot.hedge is not None
        return self._slot.hedge.non_fatal

    async def _hedge(self) -> None:
        slot, state = self._slot, self._state
        assert slot.extra_load is not None
        ended = self._ends_at is not None and self._clock() >= self._ends_at
        if ended:
            state.stop()
        elif slot.bucket is not None and not slot.bucket.allows:
            self._refuse("budget")
        # After a failure nothing runs beside it: that is a retry, and no extra load.
        elif state.outstanding and not slot.extra_load.hedge():
            self._refuse("load")
        else:
            try:
                await self._send()
            except ResilienceError:
                self._refuse("refused")
                return
            event = HedgeSent(
                target=slot.target,
                method=slot.method,
                attempt=state.sent,
                delay_s=self._delay_s or 0.0,
            )
            emit(slot.chain.listener, event)

    def _refuse(self, reason: Any) -> None:
        state, slot = self._state, self._slot
        state.stop()
        event = HedgeRefused(
            target=slot.target,
            method=slot.method,
            attempt=state.sent + 1,
            reason=reason,
        )
        emit(slot.chain.listener, event)
