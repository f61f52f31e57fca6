"""What runs where: every service of every region, its addresses, and who sees whom.

Pure: it decides names and ports, and starts nothing.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from cockroach.topology import REGIONS, ZONES, rtt_ms
from links import LinkSpec

HOST = "127.0.0.1"
DEFAULT_PORT_BASE = 7100
METRICS_OFFSET = 50
FREE_RANGE = range(12_000, 32_000)
# One instance in each zone for these; the first zone only for the others.
ZONED = ("storefront", "catalog")
SINGLE = ("cart", "inventory", "orders", "payments", "recommendations")
WORLD = "acquirer"
# What other regions dial.
FORWARDED = ("storefront", "orders")


class PortsTakenError(RuntimeError):
    """A port that the lab needs belongs to somebody else."""

    def __init__(self, taken: Mapping[int, str]) -> None:
        listed = ", ".join(f"{port} ({name})" for port, name in taken.items())
        super().__init__(
            f"taken: {listed}. Stop what listens there, or choose other ports "
            "with --port-base (0 picks free ones)."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One service process: what it is, where it stands, how it is reached."""

    service: str
    region: str
    zone: str
    port: int
    metrics_port: int

    @property
    def instance(self) -> str:
        """A name that no other process of the lab has."""
        return f"{self.service}-{self.region}-{self.zone}"

    @property
    def address(self) -> str:
        """Where it answers gRPC."""
        return f"{HOST}:{self.port}"

    @property
    def metrics(self) -> str:
        """Where Prometheus scrapes it."""
        return f"{HOST}:{self.metrics_port}"


def free_ports(count: int) -> list[int]:
    """Pick ports that nobody holds at this moment.

    Below the range from which systems give ports to outgoing connections: a port of
    that range may be gone again before its service listens. One after the other from a
    place drawn by lot: two labs that start at the same moment seldom meet.
    Raises PortsTakenError when there are not enough.
    """
    first = random.SystemRandom().randrange(len(FREE_RANGE))
    found: list[int] = []
    for port in (*FREE_RANGE[first:], *FREE_RANGE[:first]):
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise PortsTakenError({FREE_RANGE.start: f"and all up to {FREE_RANGE.stop - 1}"})


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _slots() -> list[tuple[str, str, str, int]]:
    slots: list[tuple[str, str, str, int]] = []
    for number, region in enumerate(REGIONS):
        offset = number * 100 + 1
        names = [(name, zone) for name in ZONED for zone in ZONES]
        names += [(name, ZONES[0]) for name in SINGLE]
        for index, (name, zone) in enumerate(names):
            slots.append((name, region, zone, offset + index))
    slots.append((WORLD, REGIONS[0], ZONES[0], len(REGIONS) * 100 + 1))
    return slots


def place(port_base: int = DEFAULT_PORT_BASE) -> tuple[Placement, ...]:
    """Every process of the lab. A base of 0 takes free ports instead of fixed ones.

    Raises PortsTakenError when a fixed port is in use.
    """
    if port_base:
        placed = fixed(port_base)
    else:
        slots = _slots()
        ports = free_ports(2 * len(slots))
        placed = _placed(slots, list(zip(ports[::2], ports[1::2], strict=True)))
    _refuse_taken(placed)
    return placed


def fixed(port_base: int = DEFAULT_PORT_BASE) -> tuple[Placement, ...]:
    """Every process of the lab with its fixed port, whoever holds that now."""
    slots = _slots()
    pairs = [
        (port_base + offset, port_base + offset + METRICS_OFFSET)
        for *_, offset in slots
    ]
    return _placed(slots, pairs)


def _placed(
    slots: list[tuple[str, str, str, int]], pairs: list[tuple[int, int]]
) -> tuple[Placement, ...]:
    return tuple(
        Placement(
            service=name, region=region, zone=zone, port=port, metrics_port=metrics
        )
        for (name, region, zone, _), (port, metrics) in zip(slots, pairs, strict=True)
    )


def _refuse_taken(placed: tuple[Placement, ...]) -> None:
    wanted = {one.port: one.instance for one in placed}
    wanted |= {one.metrics_port: f"{one.instance} metrics" for one in placed}
    taken = {port: what for port, what in wanted.items() if not _is_free(port)}
    if taken:
        raise PortsTakenError(taken)


def wan_links(placed: tuple[Placement, ...]) -> list[LinkSpec]:
    """List the links that gRPC takes between regions and to the card network."""
    specs = []
    for source in REGIONS:
        for one in placed:
            if one.service in FORWARDED and one.region != source:
                specs.append(
                    LinkSpec(
                        name=f"grpc-{source}-to-{one.instance}",
                        upstream=one.address,
                        rtt_ms=rtt_ms(source, one.region),
                        kind="grpc",
                        source=source,
                        target=one.region,
                    )
                )
            elif one.service == WORLD:
                specs.append(
                    LinkSpec(
                        name=f"acquirer-{source}",
                        upstream=one.address,
                        kind="acquirer",
                        source=source,
                        target="world",
                    )
                )
    return specs


def peers(
    region: str, placed: tuple[Placement, ...], listens: Mapping[str, str]
) -> dict[str, dict[str, list[str]]]:
    """Addresses as one region's services see them: direct at home, else by link."""
    seen: dict[str, dict[str, list[str]]] = {}
    for one in placed:
        if one.service == WORLD:
            address, where = listens[f"acquirer-{region}"], region
        elif one.region == region:
            address, where = one.address, region
        elif one.service in FORWARDED:
            address = listens[f"grpc-{region}-to-{one.instance}"]
            where = one.region
        else:
            continue
        seen.setdefault(one.service, {}).setdefault(where, []).append(address)
    return seen
