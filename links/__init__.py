"""TCP links between regions: distance, faults and counts, one hop each."""

from links.control import LinkControl, LinkInfo
from links.engine import Engine
from links.link import Link
from links.spec import LinkSpec, LinkStats
from links.toxic import Toxic

__all__ = [
    "Engine",
    "Link",
    "LinkControl",
    "LinkInfo",
    "LinkSpec",
    "LinkStats",
    "Toxic",
]
