"""Reads that may be somewhat old, answered near the caller instead of at home.

On CockroachDB the client's own region answers from a follower (AS OF SYSTEM TIME
follower_read_timestamp()); elsewhere a read replica that the target declares does.
How old the answer can be is measured, and is on the statement's span; where nothing
near is fresh enough, or nothing near answers, the home is asked as ever.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from opentelemetry import trace
from sqlalchemy import text
from sqlalchemy.sql import Executable

from cockroach import spans
from cockroach.errors import DatabaseError
from cockroach.fleet import Fleet
from cockroach.health import RegionHealth
from cockroach.lease import Lease, Params, Result
from cockroach.policy import DataPolicy
from cockroach.routing import Router
from cockroach.spans import Note
from cockroach.topology import DatabaseTarget, Gateway
from observability import names

# What a follower's timestamp lags behind follows from cluster settings: it changes
# when somebody changes those. A replica's lag changes all the time.
_FOLLOWER_GAUGE = text(
    "SELECT extract(epoch FROM clock_timestamp() - follower_read_timestamp())"
)
_REPLICA_GAUGE = text(
    "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())"
)
_FOLLOWER_S = 60.0
_REPLICA_S = 0.5
# A gateway near us that failed is not asked again for so long.
_SHUNNED_S = 1.0
_AS_OF = " AS OF SYSTEM TIME follower_read_timestamp()"
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[()]|[A-Za-z_][\w$]*", re.IGNORECASE
)
_AFTER_FROM = frozenset(
    {"WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH"}
)
_REFUSED = frozenset({"UNION", "INTERSECT", "EXCEPT", "FOR", "INTO"})


class StaleStatementError(ValueError):
    """The statement cannot be read in the past: no plain SELECT with one FROM."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Permission for an answer that is at most `at_most_s` seconds old.

    CockroachDB's followers are about five behind: with less the home is asked.
    """

    at_most_s: float

    def __post_init__(self) -> None:
        if not self.at_most_s > 0:
            raise ValueError("at_most_s must be more than 0; leave it out for none")


@lru_cache(maxsize=512)
def as_of(statement: str) -> str:
    """Let a SELECT be answered by followers; CockroachDB's dialect only.

    The clause follows the outermost FROM and holds for the whole statement. It takes
    no placeholder. Raises StaleStatementError on anything but one plain SELECT.
    """
    depth = 0
    found = False
    first = True
    for token in _TOKEN.finditer(statement):
        word = token[0].upper()
        if word in {"(", ")"}:
            depth += 1 if word == "(" else -1
        elif depth:
            continue
        elif first:
            first = False
            if word not in {"SELECT", "WITH"}:
                raise StaleStatementError(f"no SELECT: {statement[:60]!r}")
        elif word in {"INSERT", "UPDATE", "DELETE", "UPSERT"} or word in _REFUSED:
            raise StaleStatementError(f"not readable in the past: {word}")
        elif word == "FROM":
            found = True
        elif found and word in _AFTER_FROM:
            before = statement[: token.start()].rstrip()
            rest = statement[token.start() :]
            _refuse_more(rest)
            return f"{before}{_AS_OF} {rest}"
    if not found:
        raise StaleStatementError("nothing is read: there is no FROM")
    return statement.rstrip().rstrip(";") + _AS_OF


def _refuse_more(rest: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(rest):
        word = token[0].upper()
        if word in {"(", ")"}:
            depth += 1 if word == "(" else -1
        elif not depth and word in _REFUSED:
            raise StaleStatementError(f"not readable in the past: {word}")


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
                    gateway, home, statement, params, key, stale
                )
        if served is not None:
            return served
        with spans.also(_told(stale, "home", 0.0, why)):
            return await self._home(home, statement, params, key)

    def _near(self, home: str) -> Gateway | None:
        now = self._clock()
        candidates: tuple[Gateway, ...] = (
            self._target.in_region(self._region)
            if self._follows
            else self._target.replicas_of(home, self._region)
        )
        sound = [one for one in candidates if self._shunned.get(one.name, 0.0) <= now]
        return min(sound, key=self._fleet.load, default=None)

    async def _try(
        self,
        gateway: Gateway,
        home: str,
        statement: Executable,
        params: Params,
        key: object,
        stale: Stale,
    ) -> tuple[Result | None, str]:
        try:
            behind = await self._staleness(gateway, home)
            if behind is None or behind > stale.at_most_s:
                return None, "too_old"
            served = "follower" if self._follows else "replica"
            with spans.also(_told(stale, served, behind, "near")):
                return await self._ask(
                    gateway, home, statement, params, key, rewrite=self._follows
                ), ""
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


def _told(stale: Stale, served: str, behind_s: float, why: str) -> Any:
    return MappingProxyType(
        {
            names.STALE_AT_MOST_MS: round(stale.at_most_s * 1e3),
            names.STALE_SERVED: served,
            names.STALENESS_MS: round(behind_s * 1e3),
            names.STALE_REASON: why,
        }
    )
