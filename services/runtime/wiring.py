"""From a service's policies to those of the packages below it.

Numbers that are the same for everybody stand here, those that differ in `PolicySet`.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from cockroach.policy import DataPolicy
from cockroach.topology import REGIONS, rtt_ms
from resilience import (
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    ClientPolicy,
    RetryConfig,
    ServerPolicy,
)
from services.runtime.policy import PolicySet

# Writes carry idempotency keys, so every call may be repeated when nobody answered.
RETRIED = {
    "unavailable": frozenset({"UNAVAILABLE"}),
    "any_failure": frozenset(
        {
            "ABORTED",
            "DEADLINE_EXCEEDED",
            "INTERNAL",
            "RESOURCE_EXHAUSTED",
            "UNAVAILABLE",
            "UNKNOWN",
        }
    ),
}
# What a hop keeps of its deadline for telling its caller. On the wire gRPC rounds
# deadlines above a second up by as much as 10 ms; less would let them grow.
RESERVE_S = 0.02
# The server's own limit, and a second for a link that it does not see.
STATEMENT_TIMEOUT_S = 16.0
# Conflicts are part of the bargain of SERIALIZABLE, so every second transaction may
# be run twice; it takes fifty lost in a row to be left with no retries.
DATA_BUDGET = BudgetConfig(max_tokens=100, token_ratio=0.5)

P = TypeVar("P")


class Derived(Generic[P]):
    """A policy made from the snapshot in force, anew only when that was swapped."""

    __slots__ = ("_build", "_made", "_of", "_source")

    def __init__(
        self, source: Callable[[], PolicySet], build: Callable[[PolicySet], P]
    ) -> None:
        self._source = source
        self._build = build
        self._of = source()
        self._made = build(self._of)

    def __call__(self) -> P:
        """Return the policy for this moment."""
        now = self._source()
        if now is not self._of:
            self._made, self._of = self._build(now), now
        return self._made


def data_policy(policies: PolicySet, service: str) -> DataPolicy:
    """How a service uses the database. Raises ValueError where it cannot."""
    return DataPolicy(
        gateway_choice=policies.gateway_choice,  # type: ignore[arg-type]
        gateway_pick=policies.gateway_pick,  # type: ignore[arg-type]
        single_statements=policies.single_statements,  # type: ignore[arg-type]
        pool_size=policies.connections(service),
        pool_overflow=policies.pool_overflow,
        pool_timeout_s=policies.pool_timeout_s,
        warm=policies.pools_warm,
        transaction_attempts=policies.transaction_attempts,
        breaker=policies.data_breakers,
        breaker_slow_ms=policies.data_slow_ms,
        breaker_open_s=policies.data_open_s,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        retry_budget=DATA_BUDGET if policies.retry_budget else None,
    )


def distance_s(region: str, target: str) -> float:
    """Tell the seconds of a round trip from a region to a target, "orders@asia"."""
    there = target.partition("@")[2]
    known = region in REGIONS and there in REGIONS
    return rtt_ms(region, there) / 1e3 if known else 0.0


def client_policy(policies: PolicySet, target: str, region: str) -> ClientPolicy:
    """How a peer is called from a region; `target` names it, "catalog@eu".

    gRPC tells a callee how long it has, not until when: the way there would be added
    to its time, and the way back is needed by its answer. So both are kept back.

    Where deadlines travel, one limit holds for a call with all its attempts; where
    they do not, each attempt has the whole of it, as a loop around a stub has.
    """
    whole = policies.propagate_deadlines or policies.retry_attempts == 1
    return ClientPolicy(
        target=target,
        timeout_s=policies.rpc_timeout_s if whole else None,
        propagate_deadline=policies.propagate_deadlines,
        reserve_s=RESERVE_S + distance_s(region, target),
        retry=RetryConfig(
            attempts=policies.retry_attempts,
            backoff_s=policies.retry_backoff_s,
            backoff_max_s=policies.retry_backoff_max_s,
            retry_on=RETRIED[policies.retry_on],
            attempt_timeout_s=None if whole else policies.rpc_timeout_s,
        )
        if policies.retry_attempts > 1
        else None,
        retry_budget=BudgetConfig() if policies.retry_budget else None,
        breaker=BreakerConfig(
            failure_rate=0.5,
            window="time",
            window_size=10,
            min_calls=5,
            open_s=1.0,
            half_open_permits=2,
            half_open_max_wait_s=policies.rpc_timeout_s,
        )
        if policies.breakers
        else None,
        bulkhead=BulkheadConfig(limit=policies.bulkhead) if policies.bulkhead else None,
    )


def server_policy(policies: PolicySet, max_concurrent: int) -> ServerPolicy:
    """How calls are admitted."""
    return ServerPolicy(
        propagate_deadline=policies.propagate_deadlines, max_concurrent=max_concurrent
    )
