"""What a database told of itself, and what was made of it; nothing here connects.

`None` in a fact means that the database would not tell; it is never taken for a yes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFacts:
    """What one host of a URL said of itself; times in milliseconds."""

    host: str
    region: str | None = None
    zone: str | None = None
    #: Its clock less ours, and by how much that may be wrong.
    offset_ms: float | None = None
    offset_error_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a database told of itself."""

    flavour: Literal["cockroach", "postgres"]
    version: str
    gateways: Sequence[GatewayFacts]
    #: Hosts of the URL that did not let us in.
    unreachable: Sequence[str] = ()
    user: str
    isolation: str
    #: The newest revision that this program knows; the database's own is `revision`.
    head: str
    revision: str | None = None
    is_admin: bool | None = None
    can_create: bool | None = None
    #: Regions of the cluster's nodes with their zones.
    cluster_regions: Mapping[str, Sequence[str]] | None = None
    database_regions: Sequence[str] | None = None
    primary_region: str | None = None
    survival: str | None = None
    has_licence: bool | None = None
    organization: str | None = None
    licence_days: float | None = None
    throttled: bool = False
    clock_mean_offset_ms: float | None = None
    system_grants: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it stands, what was found, and what to do."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give it as an object."""
        return asdict(self)


def version_of(text: str) -> tuple[int, int] | None:
    """Read (25, 4) out of what `version()` says; None when it says neither kind."""
    match = re.search(r"(?:CockroachDB\b.*?\bv|PostgreSQL )(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None
