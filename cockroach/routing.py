"""Which gateway a statement goes to, and why; the answer is on its span.

Two policies: the next of all gateways, wherever they are, as connection balancers
without knowledge of the data do it; or, of the gateways in the row's home region,
the one with the least work in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cockroach.errors import DatabaseUnavailableError
from cockroach.policy import GatewayChoice
from cockroach.topology import DatabaseTarget, Gateway
from observability import names

_SYSTEM = {
    "embedded": "postgresql",
    "postgres": "postgresql",
    "cockroach": "cockroachdb",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """A chosen gateway, and the attributes that tell how it was chosen."""

    gateway: Gateway
    home: str
    attributes: Mapping[str, Any]


class Router:
    """Chooses gateways for one process; remembers whose turn it is."""

    def __init__(self, target: DatabaseTarget, *, region: str) -> None:
        self._target = target
        self._region = region
        self._decisions: dict[tuple[str, str, str, str], Decision] = {}
        self._homes: dict[str, tuple[Gateway, ...]] = {}
        self._turn = 0

    def candidates(self, policy: GatewayChoice, home: str) -> tuple[Gateway, ...]:
        """List the gateways that a policy would choose from.

        Raises DatabaseUnavailableError when the home region has none.
        """
        if policy == "round_robin_all":
            return self._target.gateways
        local = self._homes.get(home)
        if local is None:
            local = self._homes[home] = self._target.in_region(home)
        if not local:
            raise DatabaseUnavailableError(home, "no_gateway")
        return local

    def choose(
        self,
        policy: GatewayChoice,
        home: str,
        load: Callable[[Gateway], int],
        *,
        avoid: frozenset[str] = frozenset(),
    ) -> Decision:
        """Choose a gateway. `load` is its work in flight, `avoid` names to pass by.

        Raises DatabaseUnavailableError when the home region has no gateway.
        """
        candidates = self.candidates(policy, home)
        self._turn += 1
        turn = self._turn % len(candidates)
        chosen = candidates[turn]
        reason = "round_robin"
        if policy == "home_region" and len(candidates) > 1:
            least = load(chosen)
            if avoid and chosen.name in avoid:
                least = 1 << 30
            for other in candidates:
                if avoid and other.name in avoid:
                    continue
                work = load(other)
                if work < least:
                    chosen, least, reason = other, work, "least_in_flight"
            if avoid and reason == "least_in_flight":
                reason = "avoids_outlier"
        return self._decision(policy, home, chosen, reason)

    def probe(self, home: str, gateway: Gateway) -> Decision:
        """Describe a probe of one gateway, which nothing but its turn chose."""
        decision = self._decision("home_region", home, gateway, "probe")
        attributes = {**decision.attributes, names.DB_PROBE: True}
        return Decision(gateway, home, attributes)

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
        self, policy: GatewayChoice, home: str, gateway: Gateway, reason: str
    ) -> Decision:
        key = (policy, home, gateway.name, reason)
        decision = self._decisions.get(key)
        if decision is None:
            candidates = ",".join(one.name for one in self.candidates(policy, home))
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
                names.BALANCER_CANDIDATES: candidates,
                names.BALANCER_REASON: reason,
            }
            decision = Decision(gateway, home, MappingProxyType(attributes))
            self._decisions[key] = decision
        return decision
