"""Fault tolerance for Python gRPC: pure policies, one fused interceptor per side."""

import importlib
from typing import TYPE_CHECKING, Any

from resilience._attempt import AttemptHandle, AttemptObserver
from resilience._breaker import CircuitBreaker
from resilience._breaker_config import BreakerConfig, Permit
from resilience._budget import BudgetConfig, TokenBucket
from resilience._bulkhead import Bulkhead, BulkheadConfig
from resilience._coalesce import Aged, CacheConfig, Cached, Coalescer
from resilience._deadline import Deadline, current_deadline, deadline_scope
from resilience._errors import (
    BudgetSpentError,
    BulkheadFullError,
    CircuitOpenError,
    DeadlineSpentError,
    LimitReachedError,
    NoBackendError,
    ResilienceError,
    ThrottledError,
)
from resilience._events import (
    BackendEjected,
    BackendPicked,
    BackendReturned,
    BreakerChanged,
    BreakerMetrics,
    BreakerThresholdExceeded,
    CallCoalesced,
    CallRefused,
    DeadlineRefused,
    FallbackServed,
    FaultInjected,
    HedgeRefused,
    HedgeSent,
    LimitChanged,
    Listener,
    RetryRefused,
    RetryScheduled,
)
from resilience._fallback import FALLBACK_CODES, Fallback, Served, status_name
from resilience._lease import LoadLease, rendezvous
from resilience._outcome import HEALTHY_CODES, Outcome
from resilience._policy import ClientPolicy, MethodPolicy, ServerPolicy, bare, standard
from resilience._retry import RetryConfig

if TYPE_CHECKING:
    from resilience.aio import client_interceptors as aio_client_interceptors
    from resilience.aio import server_interceptor as aio_server_interceptor
    from resilience.sync import client_interceptors, server_interceptor

__all__ = [
    "FALLBACK_CODES",
    "HEALTHY_CODES",
    "Aged",
    "AttemptHandle",
    "AttemptObserver",
    "BackendEjected",
    "BackendPicked",
    "BackendReturned",
    "BreakerChanged",
    "BreakerConfig",
    "BreakerMetrics",
    "BreakerThresholdExceeded",
    "BudgetConfig",
    "BudgetSpentError",
    "Bulkhead",
    "BulkheadConfig",
    "BulkheadFullError",
    "CacheConfig",
    "Cached",
    "CallCoalesced",
    "CallRefused",
    "CircuitBreaker",
    "CircuitOpenError",
    "ClientPolicy",
    "Coalescer",
    "Deadline",
    "DeadlineRefused",
    "DeadlineSpentError",
    "Fallback",
    "FallbackServed",
    "FaultInjected",
    "HedgeRefused",
    "HedgeSent",
    "LimitChanged",
    "LimitReachedError",
    "Listener",
    "LoadLease",
    "MethodPolicy",
    "NoBackendError",
    "Outcome",
    "Permit",
    "ResilienceError",
    "RetryConfig",
    "RetryRefused",
    "RetryScheduled",
    "Served",
    "ServerPolicy",
    "ThrottledError",
    "TokenBucket",
    "aio_client_interceptors",
    "aio_server_interceptor",
    "bare",
    "client_interceptors",
    "current_deadline",
    "deadline_scope",
    "rendezvous",
    "server_interceptor",
    "standard",
    "status_name",
]

# Only who asks for an interceptor imports grpc.
_ADAPTERS = {
    "aio_client_interceptors": ("resilience.aio", "client_interceptors"),
    "aio_server_interceptor": ("resilience.aio", "server_interceptor"),
    "client_interceptors": ("resilience.sync", "client_interceptors"),
    "server_interceptor": ("resilience.sync", "server_interceptor"),
}


def __getattr__(name: str) -> Any:
    if name not in _ADAPTERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _ADAPTERS[name]
    return getattr(importlib.import_module(module), attribute)
