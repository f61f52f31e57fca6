"""The faults a link can carry, by the names Toxiproxy gave them; one file each.

To add one: a frozen dataclass of whole-number attributes (they are its JSON schema),
a stage that never loses a byte when flushed, and a line in TYPES.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from links.toxics.attributes import Attributes
from links.toxics.latency import Latency
from links.toxics.reset_peer import ResetPeer

TYPES: Final = MappingProxyType[str, type[Attributes]](
    {
        "latency": Latency,
        "reset_peer": ResetPeer,
    }
)

__all__ = ["TYPES", "Attributes", "Latency", "ResetPeer"]
