"""The shop's database as a service sees it: say whose rows, say what, get an answer.

Every call names the home region of the rows it touches; the policy of the moment
decides the gateway, the statement's wrapping, the wait and the number of attempts.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from opentelemetry import trace
from sqlalchemy import Row
from sqlalchemy.sql import Executable

from cockroach import spans, transaction
from cockroach.errors import (
    ConnectionLostError,
    ConnectRefusedError,
    DatabaseError,
    DeadlineSpentError,
    OutOfRetriesError,
    TransactionConflictError,
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
from cockroach.spans import Note
from cockroach.topology import DatabaseTarget, nearest, rtt_ms
from cockroach.transaction import Transaction
from cockroach.warmth import Warmth
from resilience import (
    DeadlineRefused,
    Listener,
    RetryRefused,
    RetryScheduled,
    current_deadline,
)

__all__ = ["DataPolicy", "Database", "DatabaseTarget", "Result", "Transaction"]

T = TypeVar("T")

_RETRYABLE = (TransactionConflictError, ConnectionLostError, ConnectRefusedError)
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
        self._warmth = Warmth(self._fleet, self._router, region=region)
        self._health: dict[str, RegionHealth] = {}
        self._probing = Probing(
            self._fleet,
            self._router,
            region=region,
            tracer=self._tracer,
            clock=clock,
            on_close=lambda: self._later(self._warmth.fill_quietly(self._now)),
        )
        self._leaving: set[asyncio.Task[None]] = set()
        self._plans = Plans(
            self._explain, plans or PlanPolicy(), clock=clock, rng=self._rng
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
    ) -> Sequence[Row[Any]]:
        """Run one statement and return its rows. Raises DatabaseError.

        `key` says in traces which loads are identical; by default a checksum of the
        parameters does.
        """
        return (await self.execute(home, statement, params, key=key)).rows

    async def execute(
        self,
        home: str,
        statement: Executable,
        params: Params = None,
        *,
        key: object = None,
    ) -> Result:
        """Run one statement and return rows and row count. Raises DatabaseError."""
        policy = self._present()
        if policy.single_statements == "transaction":

            async def only(one: Transaction) -> Result:
                return await one.execute(statement, params, key=key)

            return await self.transaction(home, only)
        lost = 0
        while True:
            try:
                return await self._autocommit(policy, home, statement, params, key)
            except _RETRYABLE as error:
                lost += 1
                await self._pause(policy, home, "statement", lost, error)
                policy = self._present()

    async def transaction(
        self, home: str, work: Callable[[Transaction], Awaitable[T]]
    ) -> T:
        """Run work in a SERIALIZABLE transaction, again as a whole when it is lost.

        The work may run several times, so it must have no effect elsewhere; it should
        write rows of one region only. Raises what the work raises, or DatabaseError:
        AmbiguousCommitError when the connection went during COMMIT.
        """
        lost = 0
        while True:
            policy = self._present()
            try:
                lease = await self._lease(policy, home)
                return await transaction.attempt(lease, work)
            except _RETRYABLE as error:
                lost += 1
                await self._pause(policy, home, "transaction", lost, error)

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

    def retarget(self, target: DatabaseTarget) -> None:
        """Use another list of gateways of the same database from now on.

        New ones are asked at once. One that is gone is asked nothing more: what runs
        there ends, then its connections are closed.
        """
        self._router.retarget(target)
        self._fleet.keep(target.gateways)
        self._later(self._warmth.fill_quietly(self._now))

    def leave(self, gateways: frozenset[str]) -> None:
        """Ask these gateways nothing new while there are others, as they drain.

        Names that are not given any more are asked again.
        """
        self._router.leave(gateways)
        self._fleet.keep(self._router.present())

    def decisions(self) -> list[tuple[str, str, str, str, str, int]]:
        """Count choices: policy, home region, gateway, its region, reason, number."""
        return self._router.counts()

    def pool_stats(self) -> list[PoolStats]:
        """Count the connections of every gateway's pool, now."""
        return self._fleet.stats()

    async def _autocommit(
        self,
        policy: DataPolicy,
        home: str,
        statement: Executable,
        params: Params,
        key: object,
    ) -> Result:
        lease = await self._lease(policy, home)
        try:
            result = await lease.run(statement, params, key, alone=True)
        except asyncio.CancelledError:
            lease.leave()
            raise
        except BaseException:
            lease.give_back()
            raise
        lease.give_back()
        return result

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
            except ConnectRefusedError:
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
        return Lease(session, pool, note, home=home, health=health)

    async def _pause(
        self, policy: DataPolicy, home: str, what: str, lost: int, error: DatabaseError
    ) -> None:
        """Wait before the next attempt, or raise when there is to be none."""
        delay = transaction.pause_s(lost, self._rng)
        deadline = current_deadline()
        reason = ""
        if lost >= policy.transaction_attempts:
            reason = "attempts"
        elif deadline is not None and deadline.remaining() <= delay:
            reason = "deadline"
        code = error.sqlstate or type(error).__name__
        if not reason:
            self._tell(
                RetryScheduled(
                    target=_name(home),
                    method=what,
                    attempt=lost,
                    delay_s=delay,
                    code=code,
                )
            )
            await asyncio.sleep(delay)
            return
        if policy.transaction_attempts > 1:
            self._tell(
                RetryRefused(
                    target=_name(home),
                    method=what,
                    attempt=lost,
                    reason=reason,  # type: ignore[arg-type]
                    code=code,
                )
            )
        if isinstance(error, TransactionConflictError):
            raise OutOfRetriesError(lost, why=reason, sqlstate=code) from error
        raise error

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
