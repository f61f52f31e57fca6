"""How statements are sent: each choice that tells a sick data path from a cured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from resilience import BudgetConfig

GatewayChoice = Literal[
    "round_robin_all",
    "least_connections_all",
    "weighted_response_time_all",
    "home_region",
    "follow_workload",
]
GatewayPick = Literal["round_robin", "least_connections", "weighted_response_time"]
StatementMode = Literal["transaction", "autocommit"]

# Blind to where the rows are: each picks among all gateways in its own way.
ALL_GATEWAYS: dict[str, GatewayPick] = {
    "round_robin_all": "round_robin",
    "least_connections_all": "least_connections",
    "weighted_response_time_all": "weighted_response_time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPolicy:
    """One immutable snapshot; the Database asks for the present one at every call.

    `gateway_choice`: which gateways a statement may go to. All of them, wherever they
    stand, by turn, by statements in flight or by response time, as balancers without
    knowledge of the data do; those of the row's home region (`home_region`); those of
    the region where its rows were answered soonest lately (`follow_workload`).
    `gateway_pick`: how the latter two choose inside the region.
    `single_statements`: BEGIN, statement and COMMIT, or one autocommit statement.
    `pool_*`: connections kept per gateway, more of them under load, and the seconds
    that a caller waits for one; `pool_idle_s` closes one that nobody used for so
    long, 0 never. `warm`: open the kept ones before readiness, and again after an
    outage, each at a random moment of `warm_spread_s` seconds.
    `statement_timeout_s`: how long a caller waits for one answer, 0 for ever; the
    server's own limit does not see a slow link.
    `transaction_attempts`: how often a lost transaction is run in all.
    `retry_budget`: the tokens that lost attempts on one home region take; None for
    as many retries as `transaction_attempts` gives.
    `breaker_*`: one breaker per home region; calls slower than `breaker_slow_ms`
    (plus the round trip to that region) count against it.
    """

    gateway_choice: GatewayChoice
    single_statements: StatementMode
    pool_size: int
    pool_overflow: int
    pool_timeout_s: float
    warm: bool
    transaction_attempts: int
    breaker: bool
    gateway_pick: GatewayPick = "least_connections"
    breaker_slow_ms: float = 100.0
    breaker_min_calls: int = 4
    breaker_open_s: float = 1.0
    breaker_permits: int = 2
    statement_timeout_s: float = 0.0
    retry_budget: BudgetConfig | None = None
    pool_idle_s: float = 0.0
    warm_spread_s: float = 1.0

    def __post_init__(self) -> None:
        if self.gateway_choice not in get_args(GatewayChoice):
            raise ValueError(f"unknown gateway choice {self.gateway_choice!r}")
        if self.gateway_pick not in get_args(GatewayPick):
            raise ValueError(f"unknown gateway pick {self.gateway_pick!r}")
        if self.single_statements not in {"transaction", "autocommit"}:
            raise ValueError(f"unknown statement mode {self.single_statements!r}")
        if self.pool_size < 1 or self.pool_overflow < 0 or self.pool_timeout_s < 0:
            raise ValueError("a pool keeps at least one connection and waits >= 0 s")
        if self.transaction_attempts < 1:
            raise ValueError("a transaction is attempted at least once")
        if min(self.statement_timeout_s, self.pool_idle_s, self.warm_spread_s) < 0:
            raise ValueError("timeouts and spreads are at least 0 s")

    @property
    def knows_homes(self) -> bool:
        """Whether the row's home has a say in which gateways are asked."""
        return self.gateway_choice not in ALL_GATEWAYS
