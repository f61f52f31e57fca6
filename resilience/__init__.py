"""Fault tolerance for Python gRPC: pure policies, one fused interceptor per side."""

from resilience._breaker import CircuitBreaker
from resilience._breaker_config import BreakerConfig, Permit
from resilience._coalesce import CacheConfig, Cached, Coalescer
from resilience._deadline import Deadline, current_deadline, deadline_scope
from resilience._errors import (
    BudgetSpentError,
    BulkheadFullError,
    CircuitOpenError,
    DeadlineSpentError,
    ResilienceError,
)
from resilience._events import (
    BreakerChanged,
    BreakerMetrics,
    BreakerThresholdExceeded,
    CallCoalesced,
    CallRefused,
    DeadlineRefused,
    FallbackServed,
    Listener,
    RetryRefused,
    RetryScheduled,
)
from resilience._outcome import HEALTHY_CODES, Outcome

__all__ = [
    "HEALTHY_CODES",
    "BreakerChanged",
    "BreakerConfig",
    "BreakerMetrics",
    "BreakerThresholdExceeded",
    "BudgetSpentError",
    "BulkheadFullError",
    "CacheConfig",
    "Cached",
    "CallCoalesced",
    "CallRefused",
    "CircuitBreaker",
    "CircuitOpenError",
    "Coalescer",
    "Deadline",
    "DeadlineRefused",
    "DeadlineSpentError",
    "FallbackServed",
    "Listener",
    "Outcome",
    "Permit",
    "ResilienceError",
    "RetryRefused",
    "RetryScheduled",
    "current_deadline",
    "deadline_scope",
]
