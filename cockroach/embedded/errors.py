"""What can keep the embedded cluster from starting.

* EmbeddedError
  * BinariesMissingError
  * AccountError
  * ClusterInUseError
  * DataDirectoryError
  * DiskFullError
  * PortTakenError
  * ServerFailedError
  * WanProofError
"""

from __future__ import annotations


class EmbeddedError(RuntimeError):
    """The embedded cluster could not do what was asked."""


class BinariesMissingError(EmbeddedError):
    """No usable PostgreSQL was found."""


class AccountError(EmbeddedError):
    """PostgreSQL refuses to run as root and no other way was found."""


class ClusterInUseError(EmbeddedError):
    """A living process runs a cluster on this data directory."""


class DataDirectoryError(EmbeddedError):
    """The data directory is another version's, or not a cluster's at all."""


class DiskFullError(EmbeddedError):
    """There is not enough room for the data directory."""


class PortTakenError(EmbeddedError):
    """Something else listens on a port that was asked for."""


class ServerFailedError(EmbeddedError):
    """A server did not come up; the message ends with its own last words."""


class WanProofError(EmbeddedError):
    """A path between regions is shorter than the distance it stands for."""
