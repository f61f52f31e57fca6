"""What gRPC's own core can do for a Python service, asked for without surprises."""

import importlib
from typing import TYPE_CHECKING, Any

from resilience.native._check import check_service_config
from resilience.native._load import LoadReport, LoadReporter, limit_utilization
from resilience.native._service_config import (
    NativeMethod,
    NativeRetry,
    OutlierDetection,
    PickFirst,
    RetryThrottling,
    RoundRobin,
    WeightedRoundRobin,
    channel_options,
    service_config,
)

if TYPE_CHECKING:
    from resilience.native.orca import aio_load_interceptor, load_interceptor

__all__ = [
    "LoadReport",
    "LoadReporter",
    "NativeMethod",
    "NativeRetry",
    "OutlierDetection",
    "PickFirst",
    "RetryThrottling",
    "RoundRobin",
    "WeightedRoundRobin",
    "aio_load_interceptor",
    "channel_options",
    "check_service_config",
    "limit_utilization",
    "load_interceptor",
    "service_config",
]


def __getattr__(name: str) -> Any:
    # Only who asks for an interceptor imports grpc.
    if name not in {"aio_load_interceptor", "load_interceptor"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("resilience.native.orca"), name)
