"""Client-side balancing: which of several servers gets a call, and which gets none."""

import importlib
from typing import TYPE_CHECKING, Any

from resilience.balancing._backend import Backend, Node, Picker
from resilience.balancing._balancer import Balancer
from resilience.balancing._locality import Locality, LocalityFirst
from resilience.balancing._outlier_config import OutlierConfig
from resilience.balancing._outliers import Outliers
from resilience.balancing._picks import LeastLoaded, PeakEwma, RoundRobin

if TYPE_CHECKING:
    from resilience.balancing.aio_channel import aio_channel as open_aio_channel
    from resilience.balancing.sync_channel import sync_channel as open_channel

__all__ = [
    "Backend",
    "Balancer",
    "LeastLoaded",
    "Locality",
    "LocalityFirst",
    "Node",
    "OutlierConfig",
    "Outliers",
    "PeakEwma",
    "Picker",
    "RoundRobin",
    "open_aio_channel",
    "open_channel",
]

# Only who asks for a channel imports grpc.
_HOMES = {
    "open_aio_channel": ("resilience.balancing.aio_channel", "aio_channel"),
    "open_channel": ("resilience.balancing.sync_channel", "sync_channel"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
