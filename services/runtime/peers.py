"""Who a service may call, and the one channel it has to each of them."""

import ipaddress
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc

from services.runtime.settings import SettingsError

S = TypeVar("S")

ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
MAX_REPLY_BYTES = 4 * 1024 * 1024


class NoPeerError(LookupError):
    """Nobody of that service is known in that region."""


def load(path: Path) -> dict[str, dict[str, list[str]]]:
    """Read {service: {region: ["host:port", ...]}}. Raises SettingsError."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: not JSON: {error}") from error
    for service, regions in _items(path, document):
        for region, addresses in _items(path, regions):
            sound = isinstance(addresses, list) and addresses
            if not sound or not all(":" in str(one) for one in addresses):
                raise SettingsError(
                    f"{path}: {service} in {region}: expected a list of host:port"
                )
    return document  # type: ignore[no-any-return]


def _items(path: Path, value: object) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{path}: expected {{service: {{region: [address]}}}}")
    return iter(value.items())


def targets(addresses: Sequence[str]) -> list[str]:
    """Return the fewest gRPC targets that reach all the addresses.

    Literal addresses share one target, over which gRPC itself goes round; a host
    name stays one of its own, so that it is looked up anew when it moves.
    """
    literal = [one for one in addresses if _is_ipv4(one)]
    named = [f"dns:///{one}" for one in addresses if not _is_ipv4(one)]
    return [f"ipv4:{','.join(literal)}", *named] if literal else named


def _is_ipv4(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address.rpartition(":")[0])
    except ValueError:
        return False
    return True


class Peers:
    """Stubs by service and region; channels are made on first use and kept."""

    def __init__(
        self,
        known: Mapping[str, Mapping[str, Sequence[str]]],
        *,
        region: str,
        interceptors: Callable[[str], Sequence[grpc.aio.ClientInterceptor]],
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._known = known
        self._region = region
        self._interceptors = interceptors
        self._credentials = credentials
        self._channels: dict[tuple[str, str], list[grpc.aio.Channel]] = {}
        self._stubs: dict[tuple[object, str, str], Any] = {}

    def regions(self, service: str) -> tuple[str, ...]:
        """List the regions in which a service can be called."""
        return tuple(self._known.get(service, ()))

    def stub(
        self,
        kind: Callable[[grpc.aio.Channel], S],
        service: str,
        region: str | None = None,
    ) -> S:
        """Return a stub for a service, of the own region unless told otherwise.

        Raises NoPeerError when none is known there.
        """
        region = region or self._region
        key = (kind, service, region)
        known: S | None = self._stubs.get(key)
        if known is None:
            stubs = [kind(channel) for channel in self._channels_to(service, region)]
            # A host name's channels take turns, and their rotation has every method
            # of the stubs; most have one channel and no need of it.
            known = stubs[0] if len(stubs) == 1 else cast("S", _Rotation(stubs))
            self._stubs[key] = known
        return known

    def addresses(self, service: str, region: str) -> tuple[str, ...]:
        """List where a service's processes of a region are; none where unknown."""
        return tuple(self._known.get(service, {}).get(region, ()))

    def stub_at(
        self, kind: Callable[[grpc.aio.Channel], S], service: str, address: str
    ) -> S:
        """Return a stub for one process of a service of the own region."""
        key = (kind, service, address)
        known: S | None = self._stubs.get(key)
        if known is None:
            channel = self._open(
                targets([address])[0], self._interceptors(f"{service}@{self._region}")
            )
            self._channels[service, address] = [channel]
            known = self._stubs[key] = kind(channel)
        return known

    async def close(self) -> None:
        """Close every channel."""
        for channels in self._channels.values():
            for channel in channels:
                await channel.close()
        self._channels.clear()
        self._stubs.clear()

    def _channels_to(self, service: str, region: str) -> list[grpc.aio.Channel]:
        key = (service, region)
        if key not in self._channels:
            addresses = self._known.get(service, {}).get(region)
            if not addresses:
                raise NoPeerError(f"no {service} known in region {region}")
            interceptors = self._interceptors(f"{service}@{region}")
            self._channels[key] = [
                self._open(target, interceptors) for target in targets(addresses)
            ]
        return self._channels[key]

    def _open(
        self, target: str, interceptors: Sequence[grpc.aio.ClientInterceptor]
    ) -> grpc.aio.Channel:
        options: list[tuple[str, str | int]] = [
            ("grpc.service_config", ROUND_ROBIN),
            # Retries are ours: one layer, one budget, every attempt seen.
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 500),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ]
        if target.startswith("ipv4:"):
            # The name that a certificate is asked for; a list of addresses is none.
            first = target.removeprefix("ipv4:").split(",")[0]
            options.append(("grpc.default_authority", first))
        if self._credentials is None:
            return grpc.aio.insecure_channel(
                target, options=options, interceptors=interceptors
            )
        return grpc.aio.secure_channel(
            target, self._credentials, options=options, interceptors=interceptors
        )


class _Rotation:
    """Several stubs as one; each call goes to the next."""

    def __init__(self, stubs: Sequence[object]) -> None:
        self._next = itertools.cycle(stubs)

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._next), name)
