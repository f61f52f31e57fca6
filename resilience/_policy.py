"""What is to happen to a client's or a server's calls, as plain frozen values."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final

from resilience._breaker_config import BreakerConfig
from resilience._budget import BudgetConfig
from resilience._bulkhead import BulkheadConfig
from resilience._retry import RetryConfig


class Inherit(enum.Enum):
    """The mark of an override that was not given."""

    INHERIT = "inherit"

    def __repr__(self) -> str:
        return "INHERIT"


INHERIT: Final = Inherit.INHERIT


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodPolicy:
    """What differs for one method; None switches a policy off."""

    timeout_s: float | Inherit | None = INHERIT
    stream_timeout_s: float | Inherit | None = INHERIT
    reserve_s: float | Inherit = INHERIT
    retry: RetryConfig | Inherit | None = INHERIT
    breaker: BreakerConfig | Inherit | None = INHERIT
    bulkhead: BulkheadConfig | Inherit | None = INHERIT


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy:
    """Everything one client does for its calls to *target*.

    *timeout_s* bounds a whole call with its retries, *stream_timeout_s* one
    whose responses are a stream; the call's own timeout and, with
    *propagate_deadline*, what is left of the request at hand less *reserve_s*
    are minima beside it. A callee's clock reads up to about 10 ms late, so a
    reserve of 0.02 s keeps deadlines shrinking from hop to hop. *retry_budget*
    is one bucket for the target; breakers are one per method; the bulkhead is
    one for the target.
    *idempotent* names the methods that may be repeated (None: every one).
    Methods are named in full ("/shop.v1.Catalog/GetProduct") or by their last
    part, in *methods* and in *idempotent* alike.
    """

    target: str
    timeout_s: float | None = None
    stream_timeout_s: float | None = None
    propagate_deadline: bool = True
    reserve_s: float = 0.0
    retry: RetryConfig | None = None
    retry_budget: BudgetConfig | None = None
    breaker: BreakerConfig | None = None
    bulkhead: BulkheadConfig | None = None
    idempotent: frozenset[str] | None = None
    methods: Mapping[str, MethodPolicy] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __post_init__(self) -> None:
        if not self.target:
            raise ValueError("target must be named")
        for seconds in (self.timeout_s, self.stream_timeout_s):
            if seconds is not None and seconds <= 0:
                raise ValueError("timeouts must be more than 0, or None")
        if self.reserve_s < 0:
            raise ValueError("reserve_s must not be negative")

    def for_method(self, method: str) -> "ClientPolicy":
        """Return the policy that holds for *method*, overrides applied."""
        short = method.rpartition("/")[2]
        override = self.methods.get(method) or self.methods.get(short)
        changed: dict[str, Any] = {"methods": MappingProxyType({})}
        if override is not None:
            for item in fields(override):
                value = getattr(override, item.name)
                if value is not INHERIT:
                    changed[item.name] = value
        if self.idempotent is not None and not self.idempotent & {method, short}:
            changed["retry"] = None
        return replace(self, **changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPolicy:
    """Everything one server does for the calls it gets.

    *propagate_deadline* makes the caller's deadline the current one for the
    handler's own calls. More than *max_concurrent* calls at once are refused
    with RESOURCE_EXHAUSTED; *exempt* methods (health checks, say) never are, and
    are not counted.
    """

    propagate_deadline: bool = True
    max_concurrent: int | None = None
    exempt: frozenset[str] = frozenset(
        {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
    )

    def __post_init__(self) -> None:
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ValueError("max_concurrent must be at least 1, or None")


ClientPolicySource = ClientPolicy | Callable[[], ClientPolicy]
ServerPolicySource = ServerPolicy | Callable[[], ServerPolicy]


def bare(target: str) -> ClientPolicy:
    """Return the policy of a client without any: calls pass as they are."""
    return ClientPolicy(target=target, propagate_deadline=False)


def standard(target: str) -> ClientPolicy:
    """Return a policy that suits most unary services: every cure on, none strict.

    Five seconds a call, deadlines carried on, three attempts on UNAVAILABLE
    within a budget, a breaker by failure rate and by slow calls (over half of
    them slower than a second), a hundred calls in flight.
    """
    return ClientPolicy(
        target=target,
        timeout_s=5.0,
        reserve_s=0.02,
        retry=RetryConfig(),
        retry_budget=BudgetConfig(),
        breaker=BreakerConfig(slow_rate=0.5, slow_after_s=1.0, half_open_max_wait_s=10),
        bulkhead=BulkheadConfig(limit=100, max_wait_s=0.1),
    )
