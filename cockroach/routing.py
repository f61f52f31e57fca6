"""Which gateway a statement goes to, and why; the answer is on its span.

Which gateways may be asked is one choice (`DataPolicy.gateway_choice`): all of them,
those of the row's home region, or those of the region that answers soonest for it. Who
of them is asked is another (`gateway_pick`): the next in turn, the one with the least
in flight, or the one with the least weighted response time.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cockroach.errors import DatabaseUnavailableError
from cockroach.policy import ALL_GATEWAYS, GatewayChoice, GatewayPick
from cockroach.scores import ResponseTimes, RoundTrips
from cockroach.topology import DatabaseTarget, Gateway
from cockroach.workload import FollowWorkload
from observability import names

logger = logging.getLogger(__name__)

_SYSTEM = {
    "embedded": "postgresql",
    "postgres": "postgresql",
    "cockroach": "cockroachdb",
}
_NOBODY: frozenset[str] = frozenset()
_REASON = {
    "least_connections": "least_in_flight",
    "weighted_response_time": "least_response_time",
}
Load = Callable[[Gateway], int]
# Policy, home region, gateway, reason.
Key = tuple[str, str, str, str]


# Not frozen: one is made for every statement, and freezing costs half of that.
@dataclass(slots=True, eq=False)
class Decision:
    """A chosen gateway, the attributes that tell how, and what the others scored."""

    gateway: Gateway
    home: str
    attributes: Mapping[str, Any]
    scores: Sequence[tuple[str, float]] = ()

    @property
    def scores_text(self) -> str:
        """The candidates with their scores, lower is better: "eu-a=0.002,eu-b=0"."""
        return ",".join(f"{name}={score:.4g}" for name, score in sorted(self.scores))


class Router:
    """Chooses gateways for one process; remembers turns, answers and what drains.

    `clock` in seconds and `rng` are those of the policies that learn.
    """

    def __init__(
        self,
        target: DatabaseTarget,
        *,
        region: str,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._region = region
        self._decisions: dict[tuple[Key, str], Decision] = {}
        self._counts: dict[tuple[Key, str], int] = {}
        self._leaving: frozenset[str] = _NOBODY
        self._turn = 0
        self._times = ResponseTimes(clock=clock)
        self._trips = RoundTrips(region, clock=clock)
        self._workload = FollowWorkload(clock=clock, rng=rng)
        self._fallbacks: dict[str, str] = {}
        self.retarget(target)

    def retarget(self, target: DatabaseTarget) -> None:
        """Choose among another target's gateways from now on."""
        self._target = target
        self._all: tuple[Gateway, ...] = ()
        self._homes: dict[str, tuple[Gateway, ...]] = {}
        self._regions = {one.name: one.region for one in target.gateways}
        self._times.forget(one.name for one in target.gateways)
        self.leave(self._leaving)

    def leave(self, gateways: frozenset[str]) -> None:
        """Pass by the gateways of these names, which drain, while others are there."""
        self._leaving = gateways
        staying = [one for one in self._target.gateways if one.name not in gateways]
        self._all = tuple(staying) or self._target.gateways
        self._there = tuple(dict.fromkeys(one.region for one in self._all))
        self._homes.clear()
        self._fallbacks.clear()
        # Their candidates are others now.
        self._decisions.clear()

    def present(self) -> tuple[Gateway, ...]:
        """List the gateways that may be asked: all but those that drain."""
        return self._all

    def candidates(self, policy: GatewayChoice, home: str) -> tuple[Gateway, ...]:
        """List the gateways that a policy would choose from.

        Those of the home region; where it has none left, those of the region with the
        shortest round trip. Raises DatabaseUnavailableError when there is none at all.
        """
        if policy in ALL_GATEWAYS:
            return self._all
        if policy == "follow_workload":
            preferred = self._workload.preferred(home)
            return self._in_region(preferred or self._region)
        return self._in_region(home)

    def choose(
        self,
        policy: GatewayChoice,
        home: str,
        load: Load,
        *,
        pick: GatewayPick = "least_connections",
        avoid: frozenset[str] = _NOBODY,
    ) -> Decision:
        """Choose a gateway. `load` is its work in flight, `avoid` names to pass by.

        Raises DatabaseUnavailableError when there is no gateway at all.
        """
        pick = ALL_GATEWAYS.get(policy, pick)
        why = ""
        if policy in ALL_GATEWAYS:
            candidates, avoid = self._all, _NOBODY
        elif policy == "follow_workload":
            candidates, why = self._followed(home)
        else:
            candidates = self._in_region(home)
            if candidates and candidates[0].region != home:
                why = "nearest"
        self._turn += 1
        usable = candidates
        if avoid:
            usable = tuple(o for o in candidates if o.name not in avoid) or candidates
        chosen, scores = self._pick(pick, usable, load)
        reason = why
        if not reason and len(usable) < len(candidates):
            reason = "avoids_outlier"
        elif not reason:
            in_turn = chosen is usable[self._turn % len(usable)]
            reason = "round_robin" if in_turn else _REASON[pick]
        decision = self._decision(policy, home, chosen, reason, candidates)
        if scores:
            decision = Decision(chosen, home, decision.attributes, scores)
        if logger.isEnabledFor(logging.DEBUG):
            self._log(decision)
        return decision

    def probe(self, home: str, gateway: Gateway) -> Decision:
        """Describe a probe of one gateway, which nothing but its turn chose."""
        decision = self._decision(
            "home_region", home, gateway, "probe", self._in_region(home)
        )
        attributes = {**decision.attributes, names.DB_PROBE: True}
        return Decision(gateway, home, attributes)

    def answered(self, home: str, gateway: str, *, ok: bool, latency_s: float) -> None:
        """Learn from an answer of a gateway, or its refusal, for rows of `home`."""
        self._times.answered(gateway, ok=ok, latency_s=latency_s)
        region = self._regions.get(gateway)
        if region is None:
            return
        if ok:
            self._trips.answered(region, latency_s)
        if self._workload.answered(home, region, ok=ok, latency_s=latency_s):
            logger.info(
                "rows of %s are asked for in %s from now on",
                home,
                self._workload.preferred(home),
            )

    def counts(self) -> list[tuple[str, str, str, str, str, int]]:
        """Count the decisions: policy, home, gateway, its region, reason, number."""
        return [
            (policy, home, gateway, region, reason, number)
            for ((policy, home, gateway, reason), region), number in list(
                self._counts.items()
            )
        ]

    def _in_region(self, home: str) -> tuple[Gateway, ...]:
        local = self._homes.get(home)
        if local is None:
            local = tuple(one for one in self._all if one.region == home)
            if local:
                self._homes[home] = local
            else:
                # Not kept: round trips change with what is measured.
                local = self._near(home)
        return local

    def _near(self, home: str) -> tuple[Gateway, ...]:
        if not self._all:
            raise DatabaseUnavailableError(home, "no_gateway")
        region = self._trips.nearest_first(self._all)[0]
        if self._fallbacks.get(home) != region:
            self._fallbacks[home] = region
            logger.warning(
                "no gateway in %s: its rows are asked for in %s", home, region
            )
        return tuple(one for one in self._all if one.region == region)

    def _followed(self, home: str) -> tuple[tuple[Gateway, ...], str]:
        region, exploring = self._workload.region(home, self._there, first=self._region)
        return self._in_region(region), "explores" if exploring else "follows_workload"

    def _pick(
        self, pick: GatewayPick, usable: Sequence[Gateway], load: Load
    ) -> tuple[Gateway, Sequence[tuple[str, float]]]:
        first = self._turn % len(usable)
        if pick == "round_robin" or len(usable) == 1:
            return usable[first], ()
        if pick == "weighted_response_time":
            score = self._times.score
            scores = [(one.name, score(one.name, load(one))) for one in usable]
        else:
            scores = [(one.name, load(one)) for one in usable]
        # Whose turn it is wins among equals.
        best, least = first, scores[first][1]
        for at, (_, value) in enumerate(scores):
            if value < least:
                best, least = at, value
        return usable[best], scores

    def near(self, home: str, gateway: Gateway, *, probe: bool = False) -> Decision:
        """Describe a read of a home's rows at a gateway or replica near the client."""
        attributes = {
            names.DB_SYSTEM: _SYSTEM[self._target.flavour],
            names.DB_NAMESPACE: self._target.dbname,
            names.SERVER_ADDRESS: gateway.host,
            names.SERVER_PORT: gateway.port,
            names.GATEWAY_NAME: gateway.name,
            names.GATEWAY_REGION: gateway.region,
            names.CLIENT_REGION: self._region,
            names.HOME_REGION: home,
            names.BALANCER_REASON: "stale_read",
        }
        if probe:
            attributes[names.DB_PROBE] = True
        return Decision(gateway, home, attributes)

    def _decision(
        self,
        policy: str,
        home: str,
        gateway: Gateway,
        reason: str,
        candidates: Sequence[Gateway],
    ) -> Decision:
        key = ((policy, home, gateway.name, reason), gateway.region)
        self._counts[key] = self._counts.get(key, 0) + 1
        decision = self._decisions.get(key)
        # The candidates of a preference change with it.
        if decision is None or policy == "follow_workload":
            attributes = {
                names.DB_SYSTEM: _SYSTEM[self._target.flavour],
                names.DB_NAMESPACE: self._target.dbname,
                names.SERVER_ADDRESS: gateway.host,
                names.SERVER_PORT: gateway.port,
                names.GATEWAY_NAME: gateway.name,
                names.GATEWAY_REGION: gateway.region,
                names.CLIENT_REGION: self._region,
                names.HOME_REGION: home,
                names.BALANCER_POLICY: policy,
                names.BALANCER_CANDIDATES: ",".join(one.name for one in candidates),
                names.BALANCER_REASON: reason,
            }
            decision = Decision(gateway, home, MappingProxyType(attributes))
            self._decisions[key] = decision
        return decision

    def _log(self, decision: Decision) -> None:
        told = decision.attributes
        logger.debug(
            "gateway %s for rows of %s: %s (%s) of %s",
            decision.gateway.name,
            decision.home,
            told[names.BALANCER_REASON],
            told[names.BALANCER_POLICY],
            decision.scores_text or told[names.BALANCER_CANDIDATES],
        )
