"""The faults a link can carry, by the names Toxiproxy gave them; one file each.

To add one: a frozen dataclass of whole-number attributes (they are its JSON schema),
a stage that never loses a byte when flushed, and a line in TYPES.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from links.toxics.attributes import Attributes
from links.toxics.bandwidth import Bandwidth
from links.toxics.latency import Latency
from links.toxics.limit_data import LimitData
from links.toxics.noop import Noop
from links.toxics.reset_peer import ResetPeer
from links.toxics.slicer import Slicer
from links.toxics.slow_close import SlowClose
from links.toxics.timeout import Timeout

TYPES: Final = MappingProxyType[str, type[Attributes]](
    {
        "bandwidth": Bandwidth,
        "latency": Latency,
        "limit_data": LimitData,
        "noop": Noop,
        "reset_peer": ResetPeer,
        "slicer": Slicer,
        "slow_close": SlowClose,
        "timeout": Timeout,
    }
)

__all__ = [
    "TYPES",
    "Attributes",
    "Bandwidth",
    "Latency",
    "LimitData",
    "Noop",
    "ResetPeer",
    "Slicer",
    "SlowClose",
    "Timeout",
]
