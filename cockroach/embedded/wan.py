"""The links that SQL takes: clients to gateways, gateways to homes, replicas to us.

Client links are raw: a driver's every round trip is paid, as it would be with
CockroachDB. Links under postgres_fdw fold its chatter into what CockroachDB would
charge. Replication is raw, so that GLOBAL writes cost what they should.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cockroach.topology import PRIMARY, REGIONS, ZONES, gateway_names, rtt_ms
from links import LinkControl, LinkSpec


def sql_name(client: str, gateway: str) -> str:
    """Name the link from a client region to a gateway."""
    return f"sql-{client}-to-{gateway}"


def fdw_name(source: str, target: str) -> str:
    """Name the link from a region's server to another region's rows."""
    return f"fdw-{source}-to-{target}"


def replication_name(region: str) -> str:
    """Name the link by which a region follows the GLOBAL tables."""
    return f"repl-{region}-to-{PRIMARY}"


def copy_spec(of: str, at: str, *, port: int, rtt_scale: float) -> LinkSpec:
    """Describe the link by which a copy in another region follows a home's server.

    One of its own: what it carries is no statement, and is not counted as one.
    """
    return LinkSpec(
        name=f"copy-{of}-at-{at}",
        upstream=f"127.0.0.1:{port}",
        rtt_ms=rtt_ms(at, of) * rtt_scale,
        protocol="postgres",
        fold=False,
        kind="repl",
        source=at,
        target=of,
    )


def reader_spec(client: str, copy: str, *, port: int, rtt_scale: float) -> LinkSpec:
    """Describe the link by which clients in a region read a copy that is elsewhere.

    `copy` is the copy's name, "eu-at-us". It is no gateway, so of another kind.
    """
    at = copy.rpartition("-at-")[2]
    return LinkSpec(
        name=f"read-{client}-to-{copy}",
        upstream=f"127.0.0.1:{port}",
        rtt_ms=rtt_ms(client, at) * rtt_scale,
        protocol="postgres",
        fold=False,
        kind="copy",
        source=client,
        target=at,
    )


def specs(
    ports: Mapping[str, int], *, rtt_scale: float = 1.0, fold: bool = True
) -> list[LinkSpec]:
    """List every link of the cluster; ports are the servers', by region."""

    def spec(kind: str, name: str, source: str, target: str, folds: bool) -> LinkSpec:  # noqa: FBT001 - three calls, below
        return LinkSpec(
            name=name,
            upstream=f"127.0.0.1:{ports[target]}",
            rtt_ms=rtt_ms(source, target) * rtt_scale,
            protocol="postgres",
            fold=folds,
            kind=kind,
            source=source,
            target=target,
        )

    listed = [
        spec("sql", sql_name(client, f"{region}-{zone}"), client, region, False)  # noqa: FBT003
        for client in REGIONS
        for region in REGIONS
        for zone in ZONES
    ]
    listed += [
        spec("fdw", fdw_name(source, target), source, target, fold)
        for source in REGIONS
        for target in REGIONS
        if source != target
    ]
    listed += [
        spec("repl", replication_name(region), region, PRIMARY, False)  # noqa: FBT003
        for region in REGIONS
        if region != PRIMARY
    ]
    return listed


@dataclass(frozen=True, slots=True)
class Wan:
    """The links as they were added: where each listens."""

    control: LinkControl
    listen: Mapping[str, tuple[str, int]]
    specs: Mapping[str, LinkSpec]

    @classmethod
    def open(cls, control: LinkControl, wanted: list[LinkSpec]) -> Wan:
        """Add every link; when one fails, none is left. Raises LinkError, OSError."""
        listen: dict[str, tuple[str, int]] = {}
        try:
            for spec in wanted:
                host, _, port = control.add(spec).rpartition(":")
                listen[spec.name] = (host, int(port))
        except BaseException:
            for name in listen:
                control.remove(name)
            raise
        return cls(control, listen, {spec.name: spec for spec in wanted})

    def close(self) -> None:
        """Remove every link."""
        for name in self.listen:
            self.control.remove(name)

    def gateway_links(self, client: str) -> dict[str, tuple[str, int]]:
        """Tell where a client region dials each gateway."""
        return {g: self.listen[sql_name(client, g)] for g in gateway_names()}
