"""A database given by URL, as each region's services see it: whose gateway is where.

Every host is asked where it stands. A plain PostgreSQL is one server for every region;
a region without a host of its own gets those of the nearest that has some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import LiteralString

import psycopg
from alembic.util import CommandError
from psycopg.conninfo import make_conninfo
from sqlalchemy.exc import SQLAlchemyError

from cockroach import migrations
from cockroach.asking import REVISION, Asker, Asking
from cockroach.migrations.__main__ import migrate
from cockroach.seed import DEFAULT_SEED
from cockroach.topology import REGIONS, ZONES, DatabaseTarget, Gateway, nearest
from cockroach.urls import DatabaseUrl

_TABLES: LiteralString = (
    "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
)
_STOCKED: LiteralString = "SELECT 1 FROM products LIMIT 1"


class PlacingError(RuntimeError):
    """A database that the shop cannot run on as it is; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host of a URL and where it says it stands."""

    host: str
    port: int
    region: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """A database of the user's own, ready for services."""

    target: DatabaseTarget
    notes: tuple[str, ...] = ()

    def admin(self) -> Mapping[str, str]:
        """Give each region's connection string, with the password in it."""
        return {
            region: make_conninfo(
                **self.target.parameters(self.target.in_region(region)[0])
            )
            for region in REGIONS
        }


def place(url: DatabaseUrl, flavour: str, hosts: Sequence[Host]) -> External:
    """Make gateways of hosts. Raises PlacingError where they are nowhere of ours."""
    if flavour == "postgres":
        if len(url.hosts) > 1:
            raise PlacingError(
                "several PostgreSQL servers are no one database: name the one that "
                "takes writes"
            )
        only = hosts[0]
        gateways = [_gateway(one, only, ZONES[0]) for one in REGIONS]
        notes = ("one PostgreSQL server stands for every region; no distance is paid",)
        return External(target=_target(url, "postgres", gateways), notes=notes)
    own = {region: [one for one in hosts if one.region == region] for region in REGIONS}
    if not any(own.values()):
        told = ", ".join(sorted({one.region or "none" for one in hosts}))
        raise PlacingError(
            f"the nodes are in no region of the shop's ({', '.join(REGIONS)}) but in: "
            f"{told}. Start them with --locality=region={REGIONS[0]},zone=..."
        )
    gateways, lines = [], []
    for region in REGIONS:
        if own[region]:
            gateways += _numbered(
                [_gateway(region, one, _zone(one)) for one in own[region]]
            )
            continue
        stand_in = next(one for one in nearest(region) if own[one])
        gateways += _numbered(
            [
                _gateway(region, one, f"via-{stand_in}-{_zone(one)}")
                for one in own[stand_in]
            ]
        )
        lines.append(f"no host in {region}: its statements go through {stand_in}")
    return External(target=_target(url, "cockroach", gateways), notes=tuple(lines))


def prepare(url: DatabaseUrl, asking: Asking, *, may_migrate: bool) -> External:
    """Place a database and see that the shop is in it, making it so if that is asked.

    With `may_migrate` an older schema is brought forward, and an empty database gets
    schema and seed; a database with tables of others is left alone. Raises
    PlacingError.
    """
    first = asking.askers[0]
    if asking.unreachable:
        raise PlacingError(f"no answer from {', '.join(asking.unreachable)}")
    external = place(url, first.flavour, [_host(one) for one in asking.askers])
    revision, head = first.value(REVISION), migrations.head()
    if revision is not None and revision > head:
        raise PlacingError(
            f"the database is at revision {revision}, which this program does not "
            f"know (its newest is {head}); use the program that made it, or a newer one"
        )
    if revision == head and first.value(_STOCKED):
        return external
    if not may_migrate:
        raise PlacingError(_asks_for_migrate(url, revision, head))
    if revision is None and first.value(_TABLES):
        raise PlacingError(
            f"database {url.dbname} has no shop but other tables; give an empty one"
        )
    try:
        migrate(external.target, seed_with=DEFAULT_SEED)
    except (SQLAlchemyError, psycopg.Error, CommandError, RuntimeError) as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        raise PlacingError(f"migrating {url.dbname} failed: {cause}") from error
    told = f"{url.dbname} is at revision {head}"
    return replace(external, notes=(*external.notes, told))


def _asks_for_migrate(url: DatabaseUrl, revision: str | None, head: str) -> str:
    if revision is None:
        what = f"there is no shop in database {url.dbname}"
    elif revision == head:
        what = f"the shop in database {url.dbname} is empty"
    else:
        what = (
            f"database {url.dbname} is at revision {revision}, older than this "
            f"program's {head}"
        )
    return f"{what}; --migrate brings it to revision {head} and seeds an empty shop"


def _host(asker: Asker) -> Host:
    region, zone = asker.locality()
    return Host(host=asker.host, port=asker.port, region=region, zone=zone)


def _target(
    url: DatabaseUrl, flavour: str, gateways: Sequence[Gateway]
) -> DatabaseTarget:
    return DatabaseTarget(
        flavour="cockroach" if flavour == "cockroach" else "postgres",
        dbname=url.dbname,
        user=url.user,
        password=url.password,
        gateways=tuple(gateways),
        options=url.options,
    )


def _gateway(region: str, host: Host, zone: str) -> Gateway:
    return Gateway(
        name=f"{region}-{zone}",
        region=region,
        zone=zone,
        host=host.host,
        port=host.port,
    )


def _zone(host: Host) -> str:
    # CockroachDB's zones are often named "eu-a": the region is told already.
    return (host.zone or ZONES[0]).removeprefix(f"{host.region}-")


def _numbered(gateways: Sequence[Gateway]) -> list[Gateway]:
    """Tell apart the gateways of one zone."""
    seen: dict[str, int] = {}
    named = []
    for one in gateways:
        seen[one.name] = seen.get(one.name, 0) + 1
        number = seen[one.name]
        named.append(one if number == 1 else replace(one, name=f"{one.name}{number}"))
    return named
