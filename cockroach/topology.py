"""Regions, zones, round trips, and the database gateways a client region sees.

Pure data: nothing here connects to anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

REGIONS = ("us", "eu", "asia")
ZONES = ("a", "b")
PRIMARY = "us"

Flavour = Literal["embedded", "cockroach", "postgres"]

# What of libpq's parameters a database description may say about TLS.
TLS_OPTIONS = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey"})

_RTT_MS: Mapping[frozenset[str], float] = {
    frozenset(("us", "eu")): 80.0,
    frozenset(("us", "asia")): 160.0,
    frozenset(("eu", "asia")): 220.0,
}


class TopologyError(ValueError):
    """A region that does not exist, or a database description that says nonsense."""


def check_region(region: str) -> str:
    """Return the region. Raises TopologyError when it is none of ours."""
    if region not in REGIONS:
        raise TopologyError(
            f"unknown region {region!r}: expected one of {', '.join(REGIONS)}"
        )
    return region


def rtt_ms(a: str, b: str) -> float:
    """Milliseconds of a round trip between two regions; 0 inside one."""
    check_region(a)
    check_region(b)
    return 0.0 if a == b else _RTT_MS[frozenset((a, b))]


def nearest(region: str) -> tuple[str, ...]:
    """List the other regions, the one with the shortest round trip first."""
    others = [other for other in REGIONS if other != check_region(region)]
    return tuple(sorted(others, key=lambda other: rtt_ms(region, other)))


def gateway_names(region: str | None = None) -> tuple[str, ...]:
    """Names of the gateways, "eu-a" and so on, of one region or of all."""
    regions = REGIONS if region is None else (check_region(region),)
    return tuple(f"{one}-{zone}" for one in regions for zone in ZONES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One way into the database, with the address that one client region dials.

    `ready` is an HTTP address that answers 503 while the gateway drains, as
    CockroachDB's `/health?ready=1` does; empty where there is none.
    """

    name: str
    region: str
    zone: str
    host: str
    port: int
    ready: str = ""

    def __post_init__(self) -> None:
        if self.ready and not self.ready.startswith(("http://", "https://")):
            raise TopologyError(
                f"gateway {self.name}: ready is an http address, not {self.ready!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica(Gateway):
    """A read-only copy of the rows of region `of`, standing in `region`.

    A PostgreSQL streaming standby of that region's server, say.
    """

    of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseTarget:
    """Everything a client needs to reach the shop's database.

    `replicas` answer reads that may be stale; nothing else is sent there.
    """

    flavour: Flavour
    dbname: str
    user: str
    password: str = field(repr=False)
    gateways: tuple[Gateway, ...]
    replicas: tuple[Replica, ...] = ()
    #: TLS, in libpq's words; empty for its defaults.
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.flavour not in get_args(Flavour):
            raise TopologyError(
                f"unknown flavour {self.flavour!r}: "
                f"expected one of {', '.join(get_args(Flavour))}"
            )
        if not self.gateways:
            raise TopologyError("a database needs at least one gateway")
        unknown = sorted(set(self.options) - TLS_OPTIONS)
        if unknown:
            raise TopologyError(f"unknown database options: {', '.join(unknown)}")

    def in_region(self, region: str) -> tuple[Gateway, ...]:
        """List the gateways that stand in one region."""
        return tuple(one for one in self.gateways if one.region == region)

    def replicas_of(self, home: str, region: str) -> tuple[Replica, ...]:
        """List the copies of a home's rows that stand in a region."""
        return tuple(r for r in self.replicas if r.of == home and r.region == region)

    def parameters(self, gateway: Gateway) -> dict[str, Any]:
        """Give what psycopg needs to connect to one of the gateways."""
        return {
            "host": gateway.host,
            "port": gateway.port,
            "dbname": self.dbname,
            "user": self.user,
            "password": self.password,
            **self.options,
        }

    def to_json(self) -> str:
        """As text for a file. It holds the password: keep the file to yourself."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> DatabaseTarget:
        """Read what to_json wrote. Raises TopologyError on anything else."""
        try:
            data: dict[str, Any] = json.loads(text)
            gateways = tuple(Gateway(**one) for one in data.pop("gateways"))
            replicas = tuple(Replica(**one) for one in data.pop("replicas", ()))
            return cls(gateways=gateways, replicas=replicas, **data)
        except TopologyError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TopologyError(f"not a database description: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> DatabaseTarget:
        """Read the description from a file. Raises OSError or TopologyError."""
        return cls.from_json(Path(path).read_text())
