"""What is to happen to a client's or a server's calls, as plain frozen values."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final

from resilience._breaker_config import BreakerConfig
from resilience._budget import BudgetConfig
from resilience._bulkhead import BulkheadConfig
from resilience._call_fallback import FallbackConfig
from resilience._criticality import Criticality
from resilience._frozen import Frozen
from resilience._hedge import HedgeConfig
from resilience._limiter import LimitConfig
from resilience._retry import RetryConfig
from resilience._shared_calls import CoalesceConfig
from resilience._shedding import SheddingConfig
from resilience._throttle import ThrottleConfig


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
    needs_s: float | Inherit | None = INHERIT
    needs_percentile: float | Inherit | None = INHERIT
    fallback: FallbackConfig | Inherit | None = INHERIT
    coalesce: CoalesceConfig | Inherit | None = INHERIT
    retry: RetryConfig | Inherit | None = INHERIT
    hedge: HedgeConfig | Inherit | None = INHERIT
    breaker: BreakerConfig | Inherit | None = INHERIT
    bulkhead: BulkheadConfig | Inherit | None = INHERIT
    limit: LimitConfig | Inherit | None = INHERIT
    criticality: Criticality | Inherit | None = INHERIT


BreakerKey = Callable[[Any, Any], str | None]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClientPolicy:
    """Everything one client does for its calls to *target*.

    *timeout_s* bounds a whole call with its retries, *stream_timeout_s* one
    whose responses are a stream; the call's own timeout and, with
    *propagate_deadline*, what is left of the request at hand less *reserve_s*
    are minima beside it. A callee's clock reads up to about 10 ms late, so a
    reserve of 0.02 s keeps deadlines shrinking from hop to hop. A call that has
    less left than *needs_s*, or than the *needs_percentile* (0.5 is the median)
    of the method's recent successes took, is refused without being sent.

    *retry_budget* is one bucket for the target, which retries and hedges share;
    bulkhead, *limit* (adaptive) and *throttle* are one for the target, or a
    method's own where it overrides them. Breakers are one per method, and where
    *breaker_key* (request or None, metadata) names a context, one per context
    and method. *idempotent* names the methods that may be repeated or hedged
    (None: every one); `idempotent_methods` reads them from the protos.
    *criticality* is told to the callee unless the request at hand has its own.

    Methods are named in full ("/shop.v1.Catalog/GetProduct") or by their last
    part, in *methods* and in *idempotent* alike. Raises ValueError.
    """

    target: str
    timeout_s: float | None = None
    stream_timeout_s: float | None = None
    propagate_deadline: bool = True
    reserve_s: float = 0.0
    needs_s: float | None = None
    needs_percentile: float | None = None
    fallback: FallbackConfig | None = None
    coalesce: CoalesceConfig | None = None
    retry: RetryConfig | None = None
    hedge: HedgeConfig | None = None
    retry_budget: BudgetConfig | None = None
    breaker: BreakerConfig | None = None
    breaker_key: BreakerKey | None = None
    throttle: ThrottleConfig | None = None
    bulkhead: BulkheadConfig | None = None
    limit: LimitConfig | None = None
    criticality: Criticality | None = None
    propagate_criticality: bool = True
    idempotent: frozenset[str] | None = None
    methods: Mapping[str, MethodPolicy] = field(default_factory=Frozen)

    def __post_init__(self) -> None:
        if not isinstance(self.methods, Frozen):
            object.__setattr__(self, "methods", Frozen(self.methods))
        if not self.target:
            raise ValueError("target must be named")
        for seconds in (self.timeout_s, self.stream_timeout_s):
            if seconds is not None and seconds <= 0:
                raise ValueError("timeouts must be more than 0, or None")
        if self.needs_s is not None and self.needs_s <= 0:
            raise ValueError("needs_s must be more than 0, or None")
        if self.reserve_s < 0:
            raise ValueError("reserve_s must not be negative")
        percentile = self.needs_percentile
        if percentile is not None and not 0 < percentile < 1:
            raise ValueError("needs_percentile must be in (0, 1), or None")

    def for_method(self, method: str) -> "ClientPolicy":
        """Return the policy that holds for *method*, overrides applied."""
        short = method.rpartition("/")[2]
        override = self.methods.get(method) or self.methods.get(short)
        changed: dict[str, Any] = {"methods": Frozen()}
        if override is not None:
            for item in fields(override):
                value = getattr(override, item.name)
                if value is not INHERIT:
                    changed[item.name] = value
        if self.idempotent is not None and not self.idempotent & {method, short}:
            changed |= {"retry": None, "hedge": None, "coalesce": None}
        return replace(self, **changed)

    def __repr__(self) -> str:
        words = [f"deadline {self.timeout_s:g} s"] if self.timeout_s else []
        words += [
            name.replace("_", " ") for name in _ORDER if getattr(self, name) is not None
        ]
        chain = " > ".join(words) or "none"
        own = f", {len(self.methods)} methods of their own" if self.methods else ""
        return f"<ClientPolicy {self.target}: {chain}{own}>"


# Outermost first: the order in which a call meets its policies.
_ORDER = (
    "fallback",
    "coalesce",
    "retry",
    "hedge",
    "retry_budget",
    "breaker",
    "limit",
    "throttle",
    "bulkhead",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPolicy:
    """Everything one server does for the calls it gets.

    *propagate_deadline* makes the caller's deadline the current one for the
    handler's own calls, *propagate_criticality* the caller's criticality;
    *criticality* is taken for callers that tell none. More than *max_concurrent*
    calls at once are refused with RESOURCE_EXHAUSTED, and more than the adaptive
    *limit* finds bearable; with *shedding* the least critical go first.
    *exempt* methods (health checks, say) never are refused, and are not counted.
    """

    propagate_deadline: bool = True
    propagate_criticality: bool = True
    criticality: Criticality = Criticality.CRITICAL
    max_concurrent: int | None = None
    limit: LimitConfig | None = None
    shedding: SheddingConfig | None = None
    exempt: frozenset[str] = frozenset(
        {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
    )

    def __post_init__(self) -> None:
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ValueError("max_concurrent must be at least 1, or None")
        if self.shedding is not None and self.limit is None:
            raise ValueError("shedding needs a limit: it decides who meets it first")


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


_PARTS: Final[Mapping[type, str]] = MappingProxyType(
    {
        BreakerConfig: "breaker",
        BudgetConfig: "retry_budget",
        BulkheadConfig: "bulkhead",
        CoalesceConfig: "coalesce",
        FallbackConfig: "fallback",
        HedgeConfig: "hedge",
        LimitConfig: "limit",
        RetryConfig: "retry",
        ThrottleConfig: "throttle",
    }
)


def policies(
    target: str,
    *parts: object,
    base: ClientPolicy | None = None,
    methods: Mapping[str, MethodPolicy] | None = None,
    **changes: Any,
) -> ClientPolicy:
    """Compose *parts* (configurations, in any order) into one client's policy.

    A call meets them in the one order that is right, whatever the order here:
    deadline, fallback, coalescing, retry and hedge, breaker, limit, throttle,
    bulkhead. *base* is where the rest comes from (default: `bare`); *changes* are
    further fields of ClientPolicy. Raises ValueError for a part given twice and
    for one that no client has, TypeError for a field that there is not.
    """
    fields_: dict[str, Any] = {}
    for part in parts:
        name = _PARTS.get(type(part))
        if name is None:
            raise ValueError(f"no policy of a client: {part!r}")
        if name in fields_ or name in changes:
            raise ValueError(f"{name} is given twice")
        fields_[name] = part
    if methods is not None:
        fields_["methods"] = methods
    return replace(base or bare(target), target=target, **fields_, **changes)


def idempotent_methods(*services: Any, safe_only: bool = False) -> frozenset[str]:
    """Return the full names of the methods that their protos say may be repeated.

    *services* are service descriptors, or files' descriptors
    (``catalog_pb2.DESCRIPTOR``). A method counts with the option
    ``idempotency_level`` NO_SIDE_EFFECTS or, unless *safe_only*, IDEMPOTENT.
    """
    found = set()
    for given in services:
        by_name = getattr(given, "services_by_name", None)
        for service in [given] if by_name is None else by_name.values():
            for method in service.methods:
                level = method.GetOptions().idempotency_level
                if level == 1 or (level == 2 and not safe_only):
                    found.add(f"/{service.full_name}/{method.name}")
    return frozenset(found)
