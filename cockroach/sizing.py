"""How many connections each client may keep, from what the database can take.

A pool is sized to the database, not to its own peak: connections that the servers
cannot work on at once only wait in a worse place. Source of the CockroachDB figure:
its documentation on connection pooling, four active connections for each vCPU.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the servers that are shared can take together.

    `connections` in all, `reserved` of them for administration and rolling restarts,
    `sessions_each` is what one connection of a client costs: more than one where it
    opens others behind itself, as one to the embedded cluster that reads two other
    regions does (three).
    """

    connections: int
    reserved: int = 0
    sessions_each: int = 1

    def __post_init__(self) -> None:
        if self.connections < 1 or self.reserved < 0 or self.sessions_each < 1:
            raise ValueError(
                "a capacity has connections >= 1, reserved >= 0, sessions_each >= 1"
            )
        if self.reserved >= self.connections:
            raise ValueError(
                f"{self.reserved} reserved of {self.connections} connections leave none"
            )

    def pool_size(self, *, clients: int, pools: int = 1) -> int:
        """Divide among `clients` processes with `pools` pools each; at least 1 each.

        Kept connections and overflow together must not exceed it. Raises ValueError
        when there is less than one connection for each pool: use fewer processes, or
        a proxy that shares connections.
        """
        if clients < 1 or pools < 1:
            raise ValueError("there is at least one client with one pool")
        share = (self.connections - self.reserved) // self.sessions_each
        size = share // (clients * pools)
        if size < 1:
            raise ValueError(
                f"{clients} clients with {pools} pools each share {share} connections: "
                "less than one each"
            )
        return size


def cockroach_capacity(*, nodes: int, vcpus: int) -> Capacity:
    """Tell what the `nodes` of a region with `vcpus` each can take, active at once.

    48 for three nodes of four. It is for all services of the region together.
    """
    if nodes < 1 or vcpus < 1:
        raise ValueError("a region has at least one node with one vCPU")
    return Capacity(connections=4 * nodes * vcpus)
