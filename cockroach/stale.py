"""Reads that may be somewhat old, answered near the caller instead of at home.

On CockroachDB the client's own region answers from a follower (AS OF SYSTEM TIME
follower_read_timestamp()); elsewhere a read replica that the target declares does.
How old the answer can be is measured, and is on the statement's span; where nothing
near is fresh enough, or nothing near answers, the home is asked as ever.

`elsewhere` is for who cannot ask the home: it answers from a copy wherever one
stands, the nearest first, or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, LiteralString

from opentelemetry import trace
from sqlalchemy import text
from sqlalchemy.sql import Executable

from cockroach import spans
from cockroach.as_of import as_of
from cockroach.errors import DatabaseError, DatabaseUnavailableError
from cockroach.fleet import Fleet
from cockroach.health import RegionHealth
from cockroach.lease import Lease, Params, Result
from cockroach.policy import DataPolicy
from cockroach.routing import Router
from cockroach.spans import Note
from cockroach.topology import DatabaseTarget, Gateway, Replica, rtt_ms
from observability import names

# What a follower's timestamp lags behind follows from cluster settings: it changes
# when somebody changes those. A replica's lag changes all the time.
_FOLLOWER_GAUGE = text(
    "SELECT extract(epoch FROM clock_timestamp() - follower_read_timestamp())"
)
#: Asks a replica how many seconds it is behind at most; null when it cannot know.
REPLICA_LAG: LiteralString = (
    "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())"
)
_REPLICA_GAUGE = text(REPLICA_LAG)
_FOLLOWER_S = 60.0
_REPLICA_S = 0.5
# A gateway near us that failed is not asked again for so long.
_SHUNNED_S = 1.0


@dataclass(frozen=True, slots=True)
class Stale:
    """Permission for an answer that is at most `at_most_s` seconds old.

    CockroachDB's followers are about five behind: with less the home is asked.
    """

    at_most_s: float

    def __post_init__(self) -> None:
        if not self.at_most_s > 0:
            raise ValueError("at_most_s must be more than 0; leave it out for none")


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy gave, and how many seconds it can be behind its home at most."""

    result: Result
    behind_s: float


class StaleReads:
    """Answers from near the client of one process."""

    def __init__(
        self,
        target: DatabaseTarget,
        fleet: Fleet,
        router: Router,
        *,
        region: str,
        policy: Callable[[], DataPolicy],
        home: Callable[[str, Executable, Params, object], Awaitable[Result]],
        tracer: trace.Tracer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._fleet = fleet
        self._router = router
        self._region = region
        self._policy = policy
        self._home = home
        self._tracer = tracer
        self._clock = clock
        self._follows = target.flavour == "cockroach"
        # By gateway: seconds behind (None: unknown), and when that was found out.
        self._behind: dict[str, tuple[float | None, float]] = {}
        self._shunned: dict[str, float] = {}

    def retarget(self, target: DatabaseTarget) -> None:
        """Read at another list of gateways and replicas from now on."""
        self._target = target

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The copies that the target names."""
        return self._target.replicas

    async def fetch(
        self,
        home: str,
        statement: Executable,
        params: Params,
        key: object,
        stale: Stale,
    ) -> Result:
        """Run one SELECT near the client, or else at home. Raises DatabaseError."""
        served, why = None, "at_home"
        if home != self._region:
            gateway = self._near(home)
            why = "no_replica"
            if gateway is not None:
                served, why = await self._try(
                    gateway, home, statement, params, key, stale, why="near"
                )
        if served is not None:
            return served.result
        with spans.also(_told(stale, "home", 0.0, why)):
            return await self._home(home, statement, params, key)

    async def elsewhere(
        self,
        home: str,
        statement: Executable,
        params: Params,
        key: object,
        stale: Stale,
    ) -> Copied:
        """Run one SELECT at a copy in any region, and never at home.

        Raises DatabaseUnavailableError where no copy is known, fresh enough and
        answering (`no_replica`, `too_old`, `near_failed`), at once and without a
        statement where none is known; DatabaseError for a wrong statement.
        """
        served, why = None, "no_replica"
        gateway = self.nearest_copy(home)
        if gateway is not None:
            served, why = await self._try(
                gateway, home, statement, params, key, stale, why="home_away"
            )
        if served is None:
            raise DatabaseUnavailableError(home, why)
        return served

    def _near(self, home: str) -> Gateway | None:
        candidates: Iterable[Gateway] = (
            (one for one in self._router.present() if one.region == self._region)
            if self._follows
            else self._target.replicas_of(home, self._region)
        )
        return min(self._sound(candidates), key=self._fleet.load, default=None)

    def nearest_copy(self, home: str) -> Gateway | None:
        """Choose whom `elsewhere` asks; None where there is nobody."""
        copies: Iterable[Gateway] = (
            # At home they are those that cannot be asked.
            (one for one in self._router.present() if one.region != home)
            if self._follows
            else (one for one in self._target.replicas if one.of == home)
        )
        return min(
            self._sound(copies),
            key=lambda one: (rtt_ms(self._region, one.region), self._fleet.load(one)),
            default=None,
        )

    def _sound(self, gateways: Iterable[Gateway]) -> list[Gateway]:
        now = self._clock()
        return [one for one in gateways if self._shunned.get(one.name, 0.0) <= now]

    async def _try(
        self,
        gateway: Gateway,
        home: str,
        statement: Executable,
        params: Params,
        key: object,
        stale: Stale,
        *,
        why: str,
    ) -> tuple[Copied | None, str]:
        try:
            behind = await self._staleness(gateway, home)
            if behind is None or behind > stale.at_most_s:
                return None, "too_old"
            served = "follower" if self._follows else "replica"
            with spans.also(_told(stale, served, behind, why)):
                result = await self._ask(
                    gateway, home, statement, params, key, rewrite=self._follows
                )
            return Copied(result, behind), why
        except DatabaseError as error:
            if error.status == "INTERNAL":
                raise
            self._shunned[gateway.name] = self._clock() + _SHUNNED_S
            return None, "near_failed"

    async def _staleness(self, gateway: Gateway, home: str) -> float | None:
        """Tell how far behind a gateway is at most, in seconds; None if unknown."""
        kept_s = _FOLLOWER_S if self._follows else _REPLICA_S
        behind, at = self._behind.get(gateway.name, (None, float("-inf")))
        if (age := self._clock() - at) >= kept_s:
            gauge = _FOLLOWER_GAUGE if self._follows else _REPLICA_GAUGE
            asked = self._clock()
            (row,) = (
                await self._ask(gateway, home, gauge, None, "staleness", probe=True)
            ).rows
            behind = None if row[0] is None else max(0.0, float(row[0]))
            self._behind[gateway.name] = (behind, asked)
            age = self._clock() - asked
        if behind is None or self._follows:
            return behind
        return behind + age

    async def _ask(
        self,
        gateway: Gateway,
        home: str,
        statement: Executable,
        params: Params,
        key: object,
        *,
        rewrite: bool = False,
        probe: bool = False,
    ) -> Result:
        pool = self._fleet.pool(gateway)
        session = pool.take_idle() or await pool.acquire()
        decision = self._router.near(home, gateway, probe=probe)
        note = Note(self._tracer, decision)
        note.rewrite = as_of if rewrite else None
        lease = Lease(
            session,
            pool,
            note,
            home=gateway.region,
            health=RegionHealth.blind(gateway.region),
            bound_s=self._policy().statement_timeout_s,
        )
        return await lease.alone(statement, params, key)


def _told(stale: Stale, served: str, behind_s: float, why: str) -> Any:
    return MappingProxyType(
        {
            names.STALE_AT_MOST_MS: round(stale.at_most_s * 1e3),
            names.STALE_SERVED: served,
            names.STALENESS_MS: round(behind_s * 1e3),
            names.STALE_REASON: why,
        }
    )
