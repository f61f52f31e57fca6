"""The policies of a process: one immutable snapshot, swapped whole with its file.

Which values make a platform sick or cured is not known here.
"""

import asyncio
import json
import logging
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, get_args

from cockroach.policy import ALL_GATEWAYS, GatewayChoice, GatewayPick

logger = logging.getLogger(__name__)

WATCH_S = 0.25


class PolicyFileError(ValueError):
    """The policy file is not there, not JSON, or has other keys than ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """Every choice a service makes by policy. Times in seconds unless named `_ms`."""

    gateway_choice: str
    gateway_pick: str
    single_statements: str
    query_schema: str
    sql_batching: str
    rpc_batching: str
    reservations: str
    stock_keys: str
    ledger_keys: str
    cache_ttl_s: float
    single_flight: bool
    lease: bool
    stale_s: float
    rpc_timeout_s: float
    propagate_deadlines: bool
    retry_on: str
    retry_attempts: int
    retry_backoff_s: float
    retry_backoff_max_s: float
    retry_budget: bool
    breakers: bool
    bulkhead: int
    fallbacks: bool
    stale_reads_s: float
    data_breakers: bool
    data_slow_ms: float
    data_open_s: float
    pool_size: int
    pool_size_catalog: int
    pool_size_storefront: int
    pool_overflow: int
    pool_timeout_s: float
    pools_warm: bool
    transaction_attempts: int
    recommendation_timeout_s: float

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = types.MappingProxyType(
        {
            "gateway_choice": get_args(GatewayChoice),
            "gateway_pick": get_args(GatewayPick),
            "single_statements": ("transaction", "autocommit"),
            "query_schema": ("naive", "local"),
            "sql_batching": ("per_item", "batched"),
            "rpc_batching": ("per_item", "batched"),
            "reservations": ("alone", "together"),
            "stock_keys": ("one", "sharded"),
            "ledger_keys": ("sequential", "random"),
            "retry_on": ("unavailable", "any_failure"),
        }
    )

    def connections(self, service: str) -> int:
        """Tell how many connections a process of a service keeps at each gateway."""
        own = {
            "catalog": self.pool_size_catalog,
            "storefront": self.pool_size_storefront,
        }
        return own.get(service, self.pool_size)

    @property
    def any_region(self) -> bool:
        """Whether a service takes customers of every region, wherever it stands."""
        return self.gateway_choice in ALL_GATEWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The policies with the name and number that their writer gave them."""

    version: int
    profile: str
    policies: PolicySet


def parse(text: str) -> Snapshot:
    """Read a policy file's text.

    Raises:
        PolicyFileError: a key is missing, unknown or of the wrong type.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise PolicyFileError(f"not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("values"), dict):
        raise PolicyFileError('expected {"version", "profile", "values": {...}}')
    odd = sorted(set(document) - {"version", "profile", "values"})
    if odd:
        raise PolicyFileError(f"unknown {', '.join(odd)}")
    values = document["values"]
    expected = {field.name: _kind(field.type) for field in fields(PolicySet)}
    wrong = [f"unknown {name}" for name in sorted(set(values) - set(expected))]
    wrong += [f"missing {name}" for name in sorted(set(expected) - set(values))]
    wrong += [
        f"{name}={values[name]!r} is no {kind.__name__}"
        for name, kind in expected.items()
        if name in values and not _fits(values[name], kind)
    ]
    wrong += [
        f"{name}={values[name]!r} is none of {', '.join(choices)}"
        for name, choices in PolicySet.CHOICES.items()
        if name in values and values[name] not in choices
    ]
    if wrong:
        raise PolicyFileError("; ".join(wrong))
    return Snapshot(
        version=int(document.get("version", 1)),
        profile=str(document.get("profile", "")),
        policies=PolicySet(**values),
    )


def _kind(declared: object) -> type:
    assert isinstance(declared, type)
    return declared


def _fits(value: object, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and value >= 0
    return isinstance(value, kind) and not (isinstance(value, int) and value < 0)


class PolicyFile:
    """The snapshot in force, and the file it follows."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises PolicyFileError."""
        self._path = path
        self._seen = self._stamp()
        self.snapshot = self._read()

    def __call__(self) -> PolicySet:
        """Return the policies in force now."""
        return self.snapshot.policies

    def refresh(self) -> bool:
        """Take over the file if it changed and is sound; tell whether it was.

        A bad file leaves the old snapshot in force, with one log line.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            snapshot = self._read()
        except PolicyFileError as error:
            logger.error("policy file refused, the old one stays: %s", error)  # noqa: TRY400 - no trace of ours would help
            return False
        self.snapshot = snapshot
        logger.info(
            "policies version %d (%s) in force", snapshot.version, snapshot.profile
        )
        return True

    async def watch(self, interval: float = WATCH_S) -> None:
        """Refresh every `interval` seconds, for ever."""
        while True:
            await asyncio.sleep(interval)
            self.refresh()

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        # A file renamed into place within one tick of the clock has another inode.
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

    def _read(self) -> Snapshot:
        try:
            return parse(self._path.read_text())
        except OSError as error:
            raise PolicyFileError(f"{self._path}: {error.strerror}") from error
        except PolicyFileError as error:
            raise PolicyFileError(f"{self._path}: {error}") from error
