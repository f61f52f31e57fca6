"""What a link is told to be, and what it counted; both travel as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from links.errors import BadAddressError

Protocol = Literal["tcp", "postgres"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """One link: where it listens, where it leads, and the distance between.

    `rtt_ms` is the WAN's round trip in milliseconds:
    each way takes half of it, and a link that does not fold pays a whole one to
    connect.
    With `protocol="postgres"` the engine tells flights apart and counts round trips;
    with `fold` on top only those flights take time that a multi-region database
    would send over the distance too (see `links.postgres`).
    `kind`, `source` and `target` are labels for whoever reads the counts.
    """

    name: str
    upstream: str
    listen: str = "127.0.0.1:0"
    rtt_ms: float = 0.0
    protocol: Protocol = "tcp"
    fold: bool = False
    kind: str = ""
    source: str = ""
    target: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the spec as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStats:
    """What a link carried since it was added; `bytes_up` left the dialling side.

    `flights` are the client's turns to speak on a PostgreSQL link,
    `trips` those of them that paid a round trip.
    """

    connections_opened: int = 0
    connections_live: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    trips: int = 0
    flights: int = 0

    def to_json(self) -> dict[str, int]:
        """Give the counts as plain JSON values."""
        return asdict(self)


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`; an empty host means every interface, as Go has it.

    Raises BadAddressError.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadAddressError(f"not host:port: {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    """Join a host and a port, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
