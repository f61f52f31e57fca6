"""Asks regions behind an open breaker whether they answer again, one prober each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from opentelemetry import trace
from sqlalchemy import text

from cockroach.errors import DatabaseError
from cockroach.fleet import Fleet
from cockroach.health import RegionHealth
from cockroach.lease import Lease
from cockroach.probe import Prober
from cockroach.routing import Router
from cockroach.spans import Note
from observability import names

_PROBE_S = 2.0
_SELECT_1 = text("SELECT 1")


class Probing:
    """The probers of one process; `on_close` hears when a region is well again."""

    def __init__(
        self,
        fleet: Fleet,
        router: Router,
        *,
        region: str,
        tracer: trace.Tracer,
        clock: Callable[[], float],
        on_close: Callable[[], None],
    ) -> None:
        self._fleet = fleet
        self._router = router
        self._region = region
        self._tracer = tracer
        self._clock = clock
        self._on_close = on_close
        self._probers: dict[str, Prober] = {}

    def wake(self, health: RegionHealth) -> None:
        """Begin to probe a region whose breaker opened; send away who waits for it."""
        home = health.home
        self._fleet.refuse_waiting(
            self._router.candidates("home_region", home), health.refusal()
        )
        prober = self._probers.get(home)
        if prober is None:
            prober = self._probers[home] = Prober(
                health,
                lambda n: self._ask(home, n),
                tracer=self._tracer,
                attributes={names.HOME_REGION: home, names.CLIENT_REGION: self._region},
                on_close=lambda _: self._on_close(),
            )
        prober.wake()

    def stop(self) -> Coroutine[None, None, None]:
        """Forget every prober at once; what is returned waits for their end."""
        probers, self._probers = list(self._probers.values()), {}

        async def ended() -> None:
            for prober in probers:
                await prober.stop()

        return ended()

    async def _ask(self, home: str, n: int) -> tuple[bool, float]:
        gateways = self._router.candidates("home_region", home)
        decision = self._router.probe(home, gateways[n % len(gateways)])
        pool = self._fleet.pool(decision.gateway)
        began = self._clock()
        try:
            session = await pool.acquire(_PROBE_S)
        except DatabaseError:
            return False, self._clock() - began
        note = Note(self._tracer, decision, "probe")
        lease = Lease(session, pool, note, home=home, health=RegionHealth.blind(home))
        try:
            async with asyncio.timeout(_PROBE_S):
                await lease.run(_SELECT_1, None, "probe", alone=False)
        except (TimeoutError, asyncio.CancelledError) as error:
            lease.leave()
            if isinstance(error, asyncio.CancelledError):
                raise
            return False, _PROBE_S
        except DatabaseError:
            lease.give_back()
            return False, note.elapsed_s
        lease.give_back()
        return True, note.elapsed_s
