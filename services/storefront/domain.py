"""Who is calling from where, and which region that makes it; pure values and rules."""

import bisect
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from services.storefront.countries import REGION_OF_COUNTRY

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What of an address may stand in a trace: its network, not the visitor.
_PREFIX = {4: 24, 6: 48}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A declared range of addresses, both ends in it, and whose it is."""

    start: Address
    end: Address
    region: str
    owner: str

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a visitor belongs by address, the rule that said so, and the block."""

    region: str
    rule: str
    block: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Countries:
    """A source of countries by address; `name` says which one in decisions."""

    name: str
    look_up: Callable[[str], str | None]


class IpRouter:
    """Declared blocks first, then the country, then the region we stand in.

    Blocks must not overlap: the one with the greatest start at or below an address
    is the only candidate.
    """

    def __init__(
        self, blocks: Iterable[Block], *, countries: Sequence[Countries], default: str
    ) -> None:
        self._countries = countries
        self._default = default
        self._blocks: dict[int, list[Block]] = {4: [], 6: []}
        for block in sorted(blocks, key=lambda one: int(one.start)):
            self._blocks[block.start.version].append(block)
        self._starts = {
            version: [int(block.start) for block in blocks]
            for version, blocks in self._blocks.items()
        }

    def decide(self, address: Address) -> Decision:
        """Tell where an address belongs; the same address always gives the same."""
        version = address.version
        at = bisect.bisect_right(self._starts[version], int(address)) - 1
        if at >= 0 and int(address) <= int(self._blocks[version][at].end):
            block = self._blocks[version][at]
            return Decision(
                region=block.region, rule=f"block:{block.owner}", block=str(block)
            )
        around = str(ipaddress.ip_network((address, _PREFIX[version]), strict=False))
        for source in self._countries:
            country = source.look_up(str(address))
            region = REGION_OF_COUNTRY.get(country or "")
            if region is not None:
                return Decision(
                    region=region, rule=f"{source.name}:{country}", block=around
                )
        return Decision(region=self._default, rule="default", block=around)


def peer_address(peer: str) -> Address | None:
    """Read gRPC's name of a peer, "ipv4:127.0.0.1:5000"; None for a Unix socket."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return None
    return parse_address(rest.rpartition(":")[0].strip("[]"))


def parse_address(text: str) -> Address | None:
    """Read an address; None when it is none."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def client_address(
    peer: Address | None, told: str, trusted: Sequence[Network]
) -> tuple[Address | None, bool]:
    """Return the visitor's address, and whether the peer is one of ours.

    What the metadata tells is believed from trusted peers only; a peer without an
    address is on this machine.
    """
    ours = peer is None or any(peer in network for network in trusted)
    if ours and (claimed := parse_address(told)) is not None:
        return claimed, ours
    return peer, ours
