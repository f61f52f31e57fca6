"""One database in three regions, on one machine, from a pip wheel."""

from cockroach.embedded.cluster import EmbeddedCluster
from cockroach.embedded.errors import (
    AccountError,
    BinariesMissingError,
    ClusterInUseError,
    DataDirectoryError,
    DiskFullError,
    EmbeddedError,
    PortTakenError,
    ServerFailedError,
    WanProofError,
)

__all__ = [
    "AccountError",
    "BinariesMissingError",
    "ClusterInUseError",
    "DataDirectoryError",
    "DiskFullError",
    "EmbeddedCluster",
    "EmbeddedError",
    "PortTakenError",
    "ServerFailedError",
    "WanProofError",
]
