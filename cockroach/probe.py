"""Asks a region behind an open breaker how it is, with exactly N statements a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from opentelemetry import trace

from cockroach.health import RegionHealth
from observability import names
from resilience import CircuitBreaker, CircuitOpenError, Permit

SPAN_ROUND = "database.probe"
_LEAST_WAIT_S = 0.02


class Prober:
    """One background task per region whose breaker is open; ends when it closes.

    `ask` sends the n-th probe of a round and returns whether it was answered and the
    seconds that took; it never raises.
    """

    def __init__(
        self,
        health: RegionHealth,
        ask: Callable[[int], Awaitable[tuple[bool, float]]],
        *,
        tracer: trace.Tracer,
        attributes: Mapping[str, Any],
        on_close: Callable[[str], None],
    ) -> None:
        self._health = health
        self._ask = ask
        self._tracer = tracer
        self._attributes = {**attributes, names.DB_PROBE: True}
        self._on_close = on_close
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Start probing unless it is under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop probing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        breaker = self._health.breaker
        assert breaker is not None
        wait_s = self._health.open_s
        while breaker.state != "closed":
            await asyncio.sleep(max(wait_s, _LEAST_WAIT_S))
            # A root of its own: the request that opened the breaker is long gone.
            with self._tracer.start_as_current_span(
                SPAN_ROUND, context=trace.set_span_in_context(trace.INVALID_SPAN)
            ) as span:
                span.set_attributes(self._attributes)
                wait_s = await self._round(breaker)
        self._on_close(self._health.home)

    async def _round(self, breaker: CircuitBreaker) -> float:
        permits: list[Permit] = []
        for _ in range(self._health.permits):
            try:
                permits.append(breaker.acquire())
            except CircuitOpenError as refused:
                if not permits:
                    return refused.retry_after_s or 0.0
                break
        await asyncio.gather(
            *(self._probe(breaker, permit, n) for n, permit in enumerate(permits))
        )
        return self._health.open_s

    async def _probe(self, breaker: CircuitBreaker, permit: Permit, n: int) -> None:
        try:
            ok, latency_s = await self._ask(n)
        except BaseException:
            breaker.release(permit)
            raise
        breaker.record(permit, ok=ok, latency_s=latency_s)
