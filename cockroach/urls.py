"""A database's URL as a user writes it: hosts, name, user, TLS; nothing connects here.

No error quotes the URL, which may hold a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cockroach.topology import TLS_OPTIONS

_SCHEME = re.compile(r"^(cockroachdb|cockroach|postgresql|postgres)(\+psycopg)?://")
_DEFAULT_PORTS = {"cockroachdb": 26257, "cockroach": 26257}
_KNOWN = {"host", "port", "user", "password", "dbname", "application_name"}


class UrlError(ValueError):
    """A database URL that cannot be used; the message never has its password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """Where a database is; hosts in the order given, ports beside them."""

    hosts: tuple[tuple[str, int], ...]
    dbname: str
    user: str
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    def parameters(self, host: str, port: int) -> dict[str, Any]:
        """Give what psycopg needs to connect to one of the hosts."""
        return {
            "host": host,
            "port": port,
            "dbname": self.dbname,
            "user": self.user,
            "password": self.password,
            **self.options,
        }


def parse(url: str, environ: Mapping[str, str] | None = None) -> DatabaseUrl:
    """Read `cockroachdb://user@host:26257,host2/shop?sslmode=...` and its likes.

    A password may come from `PGPASSWORD`, which keeps it off the command line.
    Raises UrlError.
    """
    environ = os.environ if environ is None else environ
    match = _SCHEME.match(url)
    if match is None:
        raise UrlError(
            "a database URL begins with cockroachdb:// or postgresql://, "
            "like cockroachdb://shop@127.0.0.1:26257/shop"
        )
    try:
        parts = conninfo_to_dict("postgresql://" + url[match.end() :])
    except psycopg.Error:
        # Its message has the URL in it.
        raise UrlError("the database URL cannot be read") from None
    unknown = sorted(parts.keys() - _KNOWN - TLS_OPTIONS)
    if unknown:
        raise UrlError(
            f"unknown in the database URL: {', '.join(unknown)}; "
            f"known are {', '.join(sorted(TLS_OPTIONS))}"
        )
    user = parts.get("user") or environ.get("PGUSER")
    if not user:
        raise UrlError("the database URL names no user")
    return DatabaseUrl(
        hosts=_hosts(parts, _DEFAULT_PORTS.get(match[1], 5432)),
        dbname=str(parts.get("dbname") or "shop"),
        user=str(user),
        password=str(parts.get("password") or environ.get("PGPASSWORD", "")),
        options={k: str(parts[k]) for k in sorted(TLS_OPTIONS & parts.keys())},
    )


def _hosts(parts: Mapping[str, object], default: int) -> tuple[tuple[str, int], ...]:
    names = str(parts.get("host") or "").split(",")
    if not all(names):
        raise UrlError("the database URL names no host")
    if any("@" in one for one in names):
        # What stands before it is a part of a password, and would be told as a host.
        raise UrlError("write an @ in a user or password of the database URL as %40")
    given = str(parts["port"]).split(",") if parts.get("port") else [""]
    if len(given) == 1:
        given *= len(names)
    try:
        ports = [int(one) if one else default for one in given]
    except ValueError:
        raise UrlError("a port of the database URL is no number") from None
    if len(ports) != len(names) or not all(0 < one < 65536 for one in ports):
        raise UrlError("the database URL needs one port, or one for each host")
    return tuple(zip(names, ports, strict=True))
