"""Fault tolerance for Python gRPC: pure policies, one fused interceptor per side."""

import importlib
from typing import TYPE_CHECKING, Any

from resilience._attempt import AttemptHandle, AttemptObserver
from resilience._breaker import CircuitBreaker
from resilience._breaker_config import BreakerConfig, Permit
from resilience._budget import BudgetConfig, TokenBucket
from resilience._bulkhead import Bulkhead, BulkheadConfig
from resilience._call_fallback import FallbackConfig
from resilience._coalesce import Coalescer
from resilience._coalesce_sync import BlockingCoalescer
from resilience._copies import Aged, CacheConfig, Cached, LoadCancelledError
from resilience._criticality import (
    Criticality,
    criticality_scope,
    current_criticality,
    current_level,
    user_level,
)
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
from resilience._fanout import CallObserver, Listeners, Observers
from resilience._file import PolicyFileError, dump_policies, load_policies
from resilience._follow import PolicyFile, ServerPolicyFile
from resilience._hedge import HedgeConfig
from resilience._lag import LoopLag, StandingQueue
from resilience._lease import LoadLease, rendezvous
from resilience._limiter import AdaptiveLimiter, LimitConfig
from resilience._limits import AIMDConfig, FixedConfig, Gradient2Config
from resilience._outcome import HEALTHY_CODES, Outcome
from resilience._partitions import PartitionPlace, Partitions
from resilience._percentile import Percentiles
from resilience._policy import (
    ClientPolicy,
    MethodPolicy,
    ServerPolicy,
    bare,
    idempotent_methods,
    policies,
    standard,
)
from resilience._retry import RetryConfig
from resilience._shared_calls import CoalesceConfig
from resilience._shedding import Shedder, SheddingConfig
from resilience._throttle import ClientThrottle, ThrottleConfig
from resilience._vegas import VegasConfig

if TYPE_CHECKING:
    from resilience.aio import client_interceptors as aio_client_interceptors
    from resilience.aio import server_interceptor as aio_server_interceptor
    from resilience.sync import client_interceptors, server_interceptor

__all__ = [
    "FALLBACK_CODES",
    "HEALTHY_CODES",
    "AIMDConfig",
    "AdaptiveLimiter",
    "Aged",
    "AttemptHandle",
    "AttemptObserver",
    "BackendEjected",
    "BackendPicked",
    "BackendReturned",
    "BlockingCoalescer",
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
    "CallObserver",
    "CallRefused",
    "CircuitBreaker",
    "CircuitOpenError",
    "ClientPolicy",
    "ClientThrottle",
    "CoalesceConfig",
    "Coalescer",
    "Criticality",
    "Deadline",
    "DeadlineRefused",
    "DeadlineSpentError",
    "Fallback",
    "FallbackConfig",
    "FallbackServed",
    "FaultInjected",
    "FixedConfig",
    "Gradient2Config",
    "HedgeConfig",
    "HedgeRefused",
    "HedgeSent",
    "LimitChanged",
    "LimitConfig",
    "LimitReachedError",
    "Listener",
    "Listeners",
    "LoadCancelledError",
    "LoadLease",
    "LoopLag",
    "MethodPolicy",
    "NoBackendError",
    "Observers",
    "Outcome",
    "PartitionPlace",
    "Partitions",
    "Percentiles",
    "Permit",
    "PolicyFile",
    "PolicyFileError",
    "ResilienceError",
    "RetryConfig",
    "RetryRefused",
    "RetryScheduled",
    "Served",
    "ServerPolicy",
    "ServerPolicyFile",
    "Shedder",
    "SheddingConfig",
    "StandingQueue",
    "ThrottleConfig",
    "ThrottledError",
    "TokenBucket",
    "VegasConfig",
    "aio_client_interceptors",
    "aio_server_interceptor",
    "bare",
    "client_interceptors",
    "criticality_scope",
    "current_criticality",
    "current_deadline",
    "current_level",
    "deadline_scope",
    "dump_policies",
    "idempotent_methods",
    "load_policies",
    "policies",
    "rendezvous",
    "server_interceptor",
    "standard",
    "status_name",
    "user_level",
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
