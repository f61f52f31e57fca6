"""The shop's database as a service sees it: say whose rows, say what, get an answer.

Every call names the home region of the rows it touches; the policy of the moment
decides the gateway, the statement's wrapping, the wait and the number of attempts.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from opentelemetry import trace
from sqlalchemy import Row
from sqlalchemy.sql import Executable

from cockroach import spans
from cockroach.attempts import Known
from cockroach.errors import (
    ConnectRefusedError,
    DeadlineSpentError,
    TooManyConnectionsError,
)
from cockroach.explain import plan_of
from cockroach.fleet import Fleet
from cockroach.health import RegionHealth
from cockroach.lease import Lease, Params, Result
from cockroach.plan_tree import Plan
from cockroach.plans import Planned, PlanPolicy, Plans
from cockroach.policy import DataPolicy
from cockroach.pools import PoolStats
from cockroach.probing import Probing
from cockroach.routing import Router
from cockroach.runner import Resolve, Runner, Work
from cockroach.spans import Note
from cockroach.stale import Copied, Stale, StaleReads
from cockroach.topology import DatabaseTarget, nearest, rtt_ms
from cockroach.transaction import Transaction
from cockroach.warmth import Warmth
from resilience import DeadlineRefused, Listener, current_deadline

__all__ = [
    "Copied",
    "DataPolicy",
    "Database",
    "DatabaseTarget",
    "Known",
    "Result",
    "Stale",
    "Transaction",
]

T = TypeVar("T")

_NOTICEABLE_WAIT_S = 0.001


class Database:
    """All gateways of one target, as one process of one region uses them.

    `policy` is asked at every call, so a new snapshot takes effect with the next
    statement; what runs finishes on the old connections. `listener` hears of breaker
    changes, retries and refusals. `plans` says which statements have their plan on
    their span. Errors are those of `cockroach.errors`.
    """

    def __init__(
        self,
        target: DatabaseTarget,
        *,
        region: str,
        application: str,
        policy: Callable[[], DataPolicy],
        listener: Listener | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        plans: PlanPolicy | None = None,
    ) -> None:
        self._target = target
        self._region = region
        self._policy = policy
        self._listener = listener
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries only
        self._tracer = trace.get_tracer("cockroach")
        self._router = Router(target, region=region, clock=clock, rng=self._rng)
        self._fleet = Fleet(
            target,
            application=application,
            region=region,
            clock=clock,
            rng=self._rng,
        )
        self._warmth = Warmth(self._fleet, self._router, region=region, rng=self._rng)
        self._health: dict[str, RegionHealth] = {}
        self._probing = Probing(
            self._fleet,
            self._router,
            region=region,
            tracer=self._tracer,
            clock=clock,
            on_close=self._recovered,
        )
        self._leaving: set[asyncio.Task[None]] = set()
        self._plans = Plans(
            self._explain, plans or PlanPolicy(), clock=clock, rng=self._rng
        )
        self._runner = Runner(
            self._present, self._lease, rng=self._rng, listener=listener
        )
        self._stale = StaleReads(
            target,
            self._fleet,
            self._router,
            region=region,
            policy=self._present,
            home=self._runner.statement,
            tracer=self._tracer,
            clock=clock,
        )
        self._now = policy()
        self._fleet.apply(self._now)

    def __repr__(self) -> str:
        return f"<Database from {self._region} {self._fleet!r}>"

    async def start(self) -> None:
        """Open the kept connections that the policy will use, if it says so.

        Raises DatabaseUnavailableError when the gateways do not let us in.
        """
        await self._warmth.fill(self._present())

    def keep_spares(self) -> None:
        """Keep connections to the nearest region too; see Warmth. Does not wait."""
        self._warmth.spares = True
        self._later(self._warmth.fill_quietly(self._now))

    def keep_copy(self) -> None:
        """Keep connections to the copy of our region's rows, if any. Does not wait."""
        self._warmth.copy = lambda: self._stale.nearest_copy(self._region)
        self._later(self._warmth.fill_quietly(self._now))

    async def close(self) -> None:
        """Stop probing and close every connection; refuse those who still wait."""
        await self._probing.stop()
        await self._plans.close()
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._fleet.close()

    async def fetch(
        self,
        home: str,
        statement: Executable,
        params: Params = None,
        *,
        key: object = None,
        stale: Stale | None = None,
    ) -> Sequence[Row[Any]]:
        """Run one statement and return its rows. Raises DatabaseError.

        `key` says in traces which loads are identical; by default a checksum of the
        parameters does. With `stale` the answer may be that old, and comes from near
        the client where something near has one; see `cockroach.stale`.
        """
        if stale is not None:
            result = await self._stale.fetch(home, statement, params, key, stale)
            return result.rows
        return (await self.execute(home, statement, params, key=key)).rows

    async def fetch_copy(
        self,
        home: str,
        statement: Executable,
        params: Params = None,
        *,
        key: object = None,
        stale: Stale,
    ) -> Copied:
        """Run one SELECT at a copy of a region's rows, for when its home cannot answer.

        The nearest copy is asked, in whatever region; the home never is. The answer
        says how old it can be. Raises DatabaseUnavailableError without a copy that is
        fresh enough and answers, DatabaseError for a wrong statement.
        """
        return await self._stale.elsewhere(home, statement, params, key, stale)

    async def execute(
        self,
        home: str,
        statement: Executable,
        params: Params = None,
        *,
        key: object = None,
    ) -> Result:
        """Run one statement and return rows and row count. Raises DatabaseError."""
        return await self._runner.statement(home, statement, params, key)

    async def transaction(
        self, home: str, work: Work[T], *, resolve: Resolve[T] | None = None
    ) -> T:
        """Run work in a SERIALIZABLE transaction, again as a whole when it is lost.

        The work may run several times, so it must have no effect elsewhere; it should
        write rows of one region only. Raises what the work raises, or DatabaseError.

        A commit that was not confirmed is never repeated blindly. `resolve` looks for
        the idempotency key that the work writes and returns `Known(result)` when it is
        there, None when not, and only then does the work run again. Without it, and
        where the look gives no answer, AmbiguousCommitError is raised.
        """
        return await self._runner.transaction(home, work, resolve)

    def breaker_state(self, home: str) -> str:
        """Tell the state of a region's breaker: closed, open or half_open."""
        return self._health_of(self._present(), home).state

    def suspect(self, home: str) -> bool:
        """Tell whether a region is in trouble as far as this process has seen.

        True while its breaker is not closed, or when its last statement ended less
        than 2 s ago and was slow or failed.
        """
        return self._health_of(self._present(), home).suspect

    def global_home(self) -> str:
        """Name the region to read GLOBAL tables at: ours, or the nearest sound one.

        Their rows are the same everywhere, so a region behind its breaker is no
        reason to do without; the trip to another costs a round trip.
        """
        for region in (self._region, *nearest(self._region)):
            if self.breaker_state(region) == "closed":
                return region
        return self._region

    @property
    def target(self) -> DatabaseTarget:
        """The list of gateways in use."""
        return self._target

    def retarget(self, target: DatabaseTarget) -> None:
        """Use another list of gateways of the same database from now on.

        New ones are asked at once. One that is gone is asked nothing more: what runs
        there ends, then its connections are closed.
        """
        self._target = target
        self._router.retarget(target)
        self._stale.retarget(target)
        self._fleet.keep((*target.gateways, *target.replicas))
        self._later(self._warmth.fill_quietly(self._now))

    def leave(self, gateways: frozenset[str]) -> None:
        """Ask these gateways nothing new while there are others, as they drain.

        Names that are not given any more are asked again.
        """
        self._router.leave(gateways)
        self._fleet.keep((*self._router.present(), *self._stale.replicas))

    def decisions(self) -> list[tuple[str, str, str, str, str, int]]:
        """Count choices: policy, home region, gateway, its region, reason, number."""
        return self._router.counts()

    def pool_stats(self) -> list[PoolStats]:
        """Count the connections of every gateway's pool, now."""
        return self._fleet.stats()

    async def _lease(self, policy: DataPolicy, home: str) -> Lease:
        deadline = current_deadline()
        if deadline is not None and (left := deadline.remaining()) <= 0:
            self._tell(
                DeadlineRefused(target=_name(home), method="lease", remaining_s=left)
            )
            raise DeadlineSpentError(f"no time left to ask the database of {home}")
        health = self._health_of(policy, home)
        health.admit()
        fleet = self._fleet
        decision = self._router.choose(
            policy.gateway_choice,
            home,
            fleet.load,
            pick=policy.gateway_pick,
            avoid=health.avoided(),
        )
        health.asked(decision.gateway.name)
        pool = fleet.pool(decision.gateway)
        session = pool.take_idle()
        if session is None:
            began = self._clock()
            try:
                session = await pool.acquire()
            except (ConnectRefusedError, TooManyConnectionsError):
                health.refused(decision.gateway.name, self._clock() - began)
                raise
            finally:
                waited = self._clock() - began
                if waited > _NOTICEABLE_WAIT_S:
                    spans.pool_wait(self._tracer, decision.attributes, waited)
            if health.state != "closed":
                # It opened while we waited: nothing more is to be asked.
                pool.release(session)
                raise health.refusal()
        note = Note(self._tracer, decision, plans=self._plans)
        return Lease(
            session,
            pool,
            note,
            home=home,
            health=health,
            bound_s=policy.statement_timeout_s,
        )

    def _present(self) -> DataPolicy:
        policy = self._policy()
        if policy is not self._now and policy != self._now:
            self._now = policy
            self._later(self._probing.stop())
            self._health.clear()
            if self._fleet.apply(policy):
                self._later(self._warmth.fill_quietly(self._now))
        return policy

    def _health_of(self, policy: DataPolicy, home: str) -> RegionHealth:
        health = self._health.get(home)
        if health is None:
            health = self._health[home] = RegionHealth(
                home,
                policy,
                rtt_s=rtt_ms(self._region, home) / 1e3,
                clock=self._clock,
                listener=self._listener,
                on_open=self._probe,
                on_answer=self._router.answered,
            )
        return health

    def _probe(self, health: RegionHealth) -> None:
        if self._health.get(health.home) is health:
            self._probing.wake(health)

    def _recovered(self) -> None:
        self._later(self._warmth.fill_quietly(self._now, spread=True))

    async def _explain(self, planned: Planned) -> Plan | None:
        home = planned.home
        # None when a new policy has done without this gateway meanwhile.
        pool = self._fleet.present(planned.gateway)
        if pool is None or self._health_of(self._now, home).state != "closed":
            return None
        decision = self._router.probe(home, planned.gateway)
        note = Note(self._tracer, decision, "plan")
        return await plan_of(planned, pool, note, self._plans.policy)

    def _tell(self, event: object) -> None:
        if self._listener is not None:
            self._listener.on_event(event)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _name(home: str) -> str:
    return f"database@{home}"
