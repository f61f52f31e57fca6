"""How statements are sent: each choice that tells a sick data path from a cured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resilience import BudgetConfig

GatewayChoice = Literal["round_robin_all", "home_region"]
StatementMode = Literal["transaction", "autocommit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPolicy:
    """One immutable snapshot; the Database asks for the present one at every call.

    `gateway_choice`: each statement to the next of all gateways, or to the gateways
    of the row's home region, the one with the fewest statements in flight.
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
    breaker_slow_ms: float = 100.0
    breaker_min_calls: int = 4
    breaker_open_s: float = 1.0
    breaker_permits: int = 2
    statement_timeout_s: float = 0.0
    retry_budget: BudgetConfig | None = None
    pool_idle_s: float = 0.0
    warm_spread_s: float = 1.0

    def __post_init__(self) -> None:
        if self.gateway_choice not in {"round_robin_all", "home_region"}:
            raise ValueError(f"unknown gateway choice {self.gateway_choice!r}")
        if self.single_statements not in {"transaction", "autocommit"}:
            raise ValueError(f"unknown statement mode {self.single_statements!r}")
        if self.pool_size < 1 or self.pool_overflow < 0 or self.pool_timeout_s < 0:
            raise ValueError("a pool keeps at least one connection and waits >= 0 s")
        if self.transaction_attempts < 1:
            raise ValueError("a transaction is attempted at least once")
        if min(self.statement_timeout_s, self.pool_idle_s, self.warm_spread_s) < 0:
            raise ValueError("timeouts and spreads are at least 0 s")
