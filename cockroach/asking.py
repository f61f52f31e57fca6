"""Asks a database what it is: its kind, its regions, its clock, what a user may do.

Only looks. A question that is refused leaves its fact unknown, whatever the reason.
"""

from __future__ import annotations

import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, LiteralString, Self

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cockroach import migrations
from cockroach.facts import Facts, GatewayFacts
from cockroach.urls import DatabaseUrl, UrlError

CONNECT_S = 5
STATUS_S = 5.0
_OFFSET_SAMPLES = 3
_THROTTLED = "XXC02"
_DAY_S = 86400.0

VERSION: LiteralString = "SELECT version()"
NOW: LiteralString = "SELECT extract(epoch FROM clock_timestamp())::float8"
USER: LiteralString = "SELECT current_user"
ISOLATION: LiteralString = "SHOW default_transaction_isolation"
IS_ADMIN: LiteralString = "SHOW is_superuser"
CAN_CREATE: LiteralString = (
    "SELECT has_database_privilege(current_user, current_database(), 'CREATE')"
)
REVISION: LiteralString = "SELECT version_num FROM alembic_version"
LOCALITY: LiteralString = "SHOW LOCALITY"
CLUSTER_REGIONS: LiteralString = "SHOW REGIONS FROM CLUSTER"
DATABASE_REGIONS: LiteralString = "SHOW REGIONS FROM DATABASE"
SURVIVAL: LiteralString = "SHOW SURVIVAL GOAL FROM DATABASE"
LICENCE: LiteralString = "SHOW CLUSTER SETTING enterprise.license"
ORGANIZATION: LiteralString = "SHOW CLUSTER SETTING cluster.organization"
SYSTEM_GRANTS: LiteralString = "SHOW SYSTEM GRANTS FOR {}"
#: What only CockroachDB understands, written by its documentation.
COCKROACH_ONLY: tuple[LiteralString, ...] = (
    LOCALITY,
    CLUSTER_REGIONS,
    DATABASE_REGIONS,
    SURVIVAL,
    LICENCE,
    ORGANIZATION,
    SYSTEM_GRANTS,
)

Connect = Callable[..., psycopg.Connection[Any]]
Metrics = tuple[float | None, float | None]
Flavour = Literal["cockroach", "postgres"]


class NotReachableError(RuntimeError):
    """No host of the URL lets us in; the message has their reasons, no password."""


class Asker:
    """One open connection, asked one thing at a time."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        host: str,
        port: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self.host = host
        self.port = port
        self.throttled = False
        self.version = str(self.value(VERSION) or "")

    @property
    def flavour(self) -> Flavour:
        """Tell the kind of database."""
        return "cockroach" if "CockroachDB" in self.version else "postgres"

    def rows(self, query: LiteralString | sql.Composed) -> list[dict[str, Any]] | None:
        """Ask for rows by column name; None when that is refused."""
        try:
            return self._connection.execute(query).fetchall()
        except psycopg.Error as error:
            if error.sqlstate == _THROTTLED:
                self.throttled = True
            return None

    def value(self, query: LiteralString) -> Any:
        """Ask for one value; None when that is refused or there is none."""
        rows = self.rows(query)
        return next(iter(rows[0].values())) if rows else None

    def locality(self) -> tuple[str | None, str | None]:
        """Tell region and zone as CockroachDB has them, or nothing."""
        if self.flavour != "cockroach":
            return None, None
        tiers = dict(
            part.split("=", 1)
            for part in str(self.value(LOCALITY) or "").split(",")
            if "=" in part
        )
        zone = tiers.get("zone", tiers.get("az", tiers.get("availability-zone")))
        return tiers.get("region"), zone

    def offset_ms(self) -> tuple[float | None, float]:
        """Measure the server's clock less ours, and by how much that may be wrong."""
        best: tuple[float | None, float] = (None, float("inf"))
        for _ in range(_OFFSET_SAMPLES):
            before = self._clock()
            there = self.value(NOW)
            after = self._clock()
            error = (after - before) / 2 * 1e3
            if there is not None and error < best[1]:
                best = ((float(there) - (before + after) / 2) * 1e3, error)
        return best if best[0] is not None else (None, 0.0)

    def gateway(self) -> GatewayFacts:
        """Tell where this host stands and what its clock says."""
        region, zone = self.locality()
        offset, error = self.offset_ms()
        return GatewayFacts(
            host=f"{self.host}:{self.port}",
            region=region,
            zone=zone,
            offset_ms=offset,
            offset_error_ms=error,
        )


class Asking:
    """Connections to the hosts of a URL, for as long as the block lasts.

    Raises NotReachableError when none lets us in.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        *,
        connect: Connect = psycopg.connect,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._connect = connect
        self._clock = clock
        self._stack = ExitStack()
        self.askers: list[Asker] = []
        self.unreachable: dict[str, str] = {}

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            for host, port in self._url.hosts:
                self._open(host, port, opened)
            if not self.askers:
                told = "; ".join(f"{k}: {v}" for k, v in self.unreachable.items())
                raise NotReachableError(f"cannot connect to {told}")
            self._stack = opened.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _open(self, host: str, port: int, opened: ExitStack) -> None:
        try:
            connection = self._connect(
                **self._url.parameters(host, port),
                connect_timeout=CONNECT_S,
                application_name="seawall-check",
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            self.unreachable[f"{host}:{port}"] = _one_line(error, self._url.password)
            return
        opened.callback(connection.close)
        self.askers.append(Asker(connection, host, port, self._clock))


def facts(asking: Asking, metrics: Metrics = (None, None)) -> Facts:
    """Ask everything there is to know; `metrics` is what `status` gave."""
    first = asking.askers[0]
    user = str(first.value(USER))
    crdb = first.flavour == "cockroach"
    regions = first.rows(CLUSTER_REGIONS) if crdb else None
    database = first.rows(DATABASE_REGIONS) if crdb else None
    licence = first.value(LICENCE) if crdb else None
    admin, create = first.value(IS_ADMIN), first.value(CAN_CREATE)
    seconds, mean_offset = metrics
    return Facts(
        flavour=first.flavour,
        version=first.version,
        gateways=[one.gateway() for one in asking.askers],
        unreachable=tuple(asking.unreachable),
        user=user,
        isolation=str(first.value(ISOLATION) or "not known").lower(),
        head=migrations.head(),
        revision=first.value(REVISION),
        is_admin=None if admin is None else str(admin).lower() in {"on", "true"},
        can_create=None if create is None else bool(create),
        cluster_regions=None
        if regions is None
        else {str(one["region"]): _listed(one.get("zones")) for one in regions},
        database_regions=None
        if database is None
        else [str(one["region"]) for one in database],
        primary_region=next(
            (str(one["region"]) for one in database or () if one.get("primary")), None
        ),
        survival=(first.value(SURVIVAL) if database else None) or None,
        has_licence=None if licence is None else bool(str(licence).strip()),
        organization=(first.value(ORGANIZATION) if crdb else None) or None,
        # The metric is 0 without a key.
        licence_days=seconds / _DAY_S if seconds else None,
        clock_mean_offset_ms=mean_offset,
        system_grants=_grants(first, user) if crdb else None,
        throttled=any(one.throttled for one in asking.askers),
    )


def status(
    url: str, *, ca_file: str | None = None
) -> tuple[float | None, float | None]:
    """Read a node's metrics: seconds until the licence ends, mean clock offset in ms.

    Raises UrlError for anything but http and https, OSError when nothing answers.
    """
    if not url.startswith(("http://", "https://")):
        raise UrlError("the status address begins with http:// or https://")
    context = ssl.create_default_context(cafile=ca_file) if ca_file else None
    try:
        with urllib.request.urlopen(  # noqa: S310 - the scheme was looked at
            f"{url.rstrip('/')}/_status/vars", timeout=STATUS_S, context=context
        ) as reply:
            text = reply.read().decode(errors="replace")
    except (urllib.error.URLError, TimeoutError) as error:
        raise OSError(f"no metrics from {url}: {error}") from error
    seconds = _metric(text, "seconds_until_enterprise_license_expiry")
    offset = _metric(text, "clock_offset_meannanos")
    return seconds, None if offset is None else offset / 1e6


def _metric(text: str, name: str) -> float | None:
    match = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)", text, re.MULTILINE)
    return float(match[1]) if match else None


def _grants(asker: Asker, user: str) -> frozenset[str] | None:
    query = sql.SQL(SYSTEM_GRANTS).format(sql.Identifier(user))
    rows = asker.rows(query)
    if rows is None:
        return None
    return frozenset(str(one["privilege_type"]).upper() for one in rows)


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return [part for part in value.strip("{}").split(",") if part]
    return [str(one) for one in value or ()]


def _one_line(error: psycopg.Error, password: str) -> str:
    text = " ".join(str(error).split())
    return text.replace(password, "***") if password else text
