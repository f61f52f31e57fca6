"""The names that spans carry: of the conventions as they are, ours as `seawall.*`."""

from types import MappingProxyType
from typing import Final

SPAN_ATTEMPT: Final = "attempt"

RPC_SYSTEM_NAME: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"  # "shop.v1.Orders/PlaceOrder"
RPC_STATUS: Final = "rpc.response.status_code"  # "UNAVAILABLE"
ERROR_TYPE: Final = "error.type"
PREVIOUS_ATTEMPTS: Final = "previous-rpc-attempts"  # gRFC A72
ATTEMPT_TARGET: Final = "seawall.target"
CANCELLED_BY: Final = "seawall.cancelled_by"
DEADLINE_REMAINING_MS: Final = "seawall.deadline.remaining_ms"
REFUSAL: Final = "seawall.refusal"
ORIGIN: Final = "seawall.origin"

EVENTS: Final = MappingProxyType(
    {
        "BreakerChanged": "seawall.breaker.changed",
        "BreakerThresholdExceeded": "seawall.breaker.threshold_exceeded",
        "RetryScheduled": "seawall.retry.scheduled",
        "RetryRefused": "seawall.retry.refused",
        "CallRefused": "seawall.call.refused",
        "CallCoalesced": "seawall.call.coalesced",
        "FallbackServed": "seawall.fallback.served",
        "DeadlineRefused": "seawall.deadline.refused",
        "HedgeSent": "seawall.hedge.sent",
        "HedgeRefused": "seawall.hedge.refused",
        "LimitChanged": "seawall.limit.changed",
        "BackendPicked": "seawall.backend.picked",
        "BackendEjected": "seawall.backend.ejected",
        "BackendReturned": "seawall.backend.returned",
        "FaultInjected": "seawall.fault.injected",
    }
)
