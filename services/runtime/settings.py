"""Settings of one process: read from the environment once, checked, then frozen."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cockroach.plans import PlanPolicy

PREFIX = "SHOP_"
SERVICES = (
    "acquirer",
    "cart",
    "catalog",
    "inventory",
    "orders",
    "payments",
    "recommendations",
    "storefront",
)
_PLANS = PlanPolicy()
LOOPBACK = "127.0.0.0/8,::1/128"

T = TypeVar("T", int, float)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(ValueError):
    """A setting is missing, unknown, or not what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files of mutual TLS, all in PEM."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a process is told from outside. Sizes in bytes, times in seconds."""

    service: str
    region: str
    zone: str
    instance: str
    listen: str
    #: Under which its peers know it; empty where that need not be known.
    address: str
    metrics_listen: str
    peers: Path | None
    database: Path | None
    policies: Path
    log_file: str
    tls: Tls | None
    max_concurrent: int
    max_message_bytes: int
    max_metadata_bytes: int
    drain_s: float
    connection_age_s: float
    connection_age_grace_s: float
    trusted_peers: tuple[Network, ...]
    maxmind: Path | None
    #: Which statements have their plan on their span.
    plans: PlanPolicy

    @classmethod
    def of(cls, service: str, environ: Mapping[str, str]) -> "Settings":
        """Read the settings of one service, which need not name it again.

        Raises SettingsError, also when they name another one.
        """
        settings = cls.from_env({"SHOP_SERVICE": service, **environ})
        if settings.service != service:
            raise SettingsError(
                f"SHOP_SERVICE={settings.service!r}, but this is {service}"
            )
        return settings

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read every `SHOP_*` variable.

        Raises:
            SettingsError: one is missing, malformed, or not known to us.
        """
        read = _Reader(environ)
        service = read.word("SERVICE")
        if service not in SERVICES:
            raise SettingsError(
                f"SHOP_SERVICE={service!r}: expected one of {', '.join(SERVICES)}"
            )
        region, zone = read.word("REGION"), read.word("ZONE")
        settings = cls(
            service=service,
            region=region,
            zone=zone,
            instance=read.text("INSTANCE", f"{service}-{region}-{zone}"),
            listen=read.address("LISTEN"),
            address=read.address("ADDRESS", ""),
            metrics_listen=read.address("METRICS_LISTEN", ""),
            peers=read.path("PEERS"),
            database=read.path("DATABASE"),
            policies=read.required_path("POLICIES"),
            log_file=read.text("LOG_FILE", ""),
            tls=read.tls(),
            max_concurrent=read.number("MAX_CONCURRENT", int, 200),
            max_message_bytes=read.number("MAX_MESSAGE_BYTES", int, 256 * 1024),
            max_metadata_bytes=read.number("MAX_METADATA_BYTES", int, 16 * 1024),
            drain_s=read.number("DRAIN_S", float, 5.0),
            connection_age_s=read.number("CONNECTION_AGE_S", float, 300.0),
            connection_age_grace_s=read.number("CONNECTION_AGE_GRACE_S", float, 30.0),
            trusted_peers=read.networks("TRUSTED_PEERS", LOOPBACK),
            maxmind=read.path("MAXMIND"),
            plans=PlanPolicy(
                after_s=read.number("PLANS_AFTER_S", float, _PLANS.after_s, zero=True),
                sample=read.number("PLANS_SAMPLE", int, _PLANS.sample, zero=True),
            ),
        )
        read.refuse_unknown()
        return settings


class _Reader:
    """Takes settings out of an environment and remembers which it knows."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str:
        key = PREFIX + name
        self._known.add(key)
        value = self._environ.get(key, "").strip()
        if value:
            return value
        if default is None:
            raise SettingsError(f"{key} is not set")
        return default

    def word(self, name: str) -> str:
        value = self.text(name)
        if not re.fullmatch(r"[a-z][a-z0-9-]*", value):
            raise SettingsError(f"{PREFIX}{name}={value!r}: expected a lower-case word")
        return value

    def address(self, name: str, default: str | None = None) -> str:
        value = self.text(name, default)
        host, colon, port = value.rpartition(":")
        if value and not (host and colon and port.isdigit() and int(port) < 65536):
            raise SettingsError(f"{PREFIX}{name}={value!r}: expected host:port")
        return value

    def path(self, name: str) -> Path | None:
        value = self.text(name, "")
        return Path(value) if value else None

    def required_path(self, name: str) -> Path:
        return Path(self.text(name))

    def number(
        self, name: str, kind: Callable[[str], T], default: T, *, zero: bool = False
    ) -> T:
        value = self.text(name, str(default))
        try:
            number = kind(value)
        except ValueError:
            number = kind("-1")
        if not (0 < number < 1e12 or (zero and number == 0)):
            least = "0 or a number above" if zero else "a number above 0"
            raise SettingsError(f"{PREFIX}{name}={value!r}: expected {least}")
        return number

    def networks(self, name: str, default: str) -> tuple[Network, ...]:
        value = self.text(name, default)
        try:
            return tuple(
                ipaddress.ip_network(part.strip())
                for part in value.split(",")
                if part.strip()
            )
        except ValueError as error:
            raise SettingsError(f"{PREFIX}{name}={value!r}: {error}") from error

    def tls(self) -> Tls | None:
        cert, key, ca = (self.path(f"TLS_{name}") for name in ("CERT", "KEY", "CA"))
        if cert and key and ca:
            return Tls(cert=cert, key=key, ca=ca)
        if cert or key or ca:
            raise SettingsError(
                "SHOP_TLS_CERT, SHOP_TLS_KEY and SHOP_TLS_CA go together: "
                "give all three or none"
            )
        return None

    def refuse_unknown(self) -> None:
        unknown = sorted(
            key
            for key in self._environ
            if key.startswith(PREFIX) and key not in self._known
        )
        if unknown:
            raise SettingsError(
                f"unknown setting {', '.join(unknown)}; "
                f"known are {', '.join(sorted(self._known))}"
            )
