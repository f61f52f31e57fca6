"""What a balancer chooses among, and what it knows of each."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One server of a target: its unique *name*, its *address*, and where it is.

    *distance* orders backends for locality, nearest first: 0 in our zone, 1 in our
    region, round trips or any other numbers beyond.
    """

    name: str
    address: str
    distance: float = 0.0

    def __post_init__(self) -> None:
        if not self.name or not self.address:
            raise ValueError("a backend has a name and an address")
        if self.distance < 0:
            raise ValueError("distance must not be negative")


class Node:
    """A backend's state in one balancer: calls in flight, and a picker's notes."""

    __slots__ = ("backend", "cost", "pending", "stamp")

    def __init__(self, backend: Backend, now: float) -> None:
        self.backend = backend
        self.pending = 0
        self.cost = 0.0
        self.stamp = now

    def __repr__(self) -> str:
        return f"<Node {self.backend.name} {self.pending} pending>"


class Picker(Protocol):
    """Chooses a node for a call, and learns from how calls end."""

    name: str

    def pick(self, nodes: list[Node]) -> tuple[Node, str]:
        """Return one of *nodes* (never empty) and the reason in a few words."""

    def ended(self, node: Node, latency_s: float) -> None:
        """Take in that a call to *node* ended after *latency_s* seconds."""

    def score(self, node: Node) -> float:
        """Return what *node* was judged by; lower is better."""
