"""What a balancer chooses among, and what it knows of each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from resilience._outcome import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One server of a target: its unique *name*, its *address*, and where it is.

    *region* and *zone* are compared with those of a `Locality`. Who has no such names
    orders backends by *distance*, nearest first: 0 in our zone, 1 in our region, round
    trips or any other numbers beyond. *weight* is how much it bears beside the others.
    """

    name: str
    address: str
    region: str = ""
    zone: str = ""
    weight: float = 1.0
    distance: float = 0.0

    def __post_init__(self) -> None:
        if not self.name or not self.address:
            raise ValueError("a backend has a name and an address")
        if not self.distance >= 0:
            raise ValueError("distance must not be negative")
        if not 0 < self.weight < float("inf"):
            raise ValueError("weight must be more than 0, and finite")


class Node:
    """A backend's state in one balancer: calls in flight, and a picker's notes.

    *pending* counts them all, *streams* those of them that answer with a stream.
    """

    __slots__ = ("backend", "cost", "pending", "retired", "stamp", "streams", "turn")

    def __init__(self, backend: Backend, now: float) -> None:
        self.backend = backend
        self.pending = 0
        self.streams = 0
        self.retired = False
        self.cost = 0.0
        self.stamp = now
        self.turn = 0.0

    def __repr__(self) -> str:
        return f"<Node {self.backend.name} {self.pending} pending>"


class Picker(Protocol):
    """Chooses a node for a call, and learns from how calls end.

    A picker belongs to one balancer, which asks it under its lock. That a call has
    started shows in the node's *pending*.
    """

    name: str

    def follow(self, nodes: Sequence[Node]) -> None:
        """Take in that these are all the nodes now, the ejected ones among them."""

    def pick(
        self, nodes: Sequence[Node], avoid: Collection[str] = ()
    ) -> tuple[Node, str]:
        """Return one of *nodes* (never empty) and the reason in a few words.

        The same sequence comes again until it changes. The backends named in *avoid*
        are taken where there is no other.
        """

    def ended(self, node: Node, verdict: Verdict, latency_s: float) -> None:
        """Take in that a call to *node* ended after *latency_s* seconds."""

    def score(self, node: Node) -> float:
        """Return what *node* is judged by, lower is better; changes nothing."""


def fresh(nodes: Sequence[Node], avoid: Collection[str]) -> Sequence[Node]:
    """Return *nodes* without those to avoid; all of them if none were left."""
    if not avoid:
        return nodes
    return [node for node in nodes if node.backend.name not in avoid] or nodes
