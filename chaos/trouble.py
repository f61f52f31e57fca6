"""What a session does to the shop, whichever kind it is, and what both kinds share."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Protocol, runtime_checkable

from chaos.journeys import Journey
from links.control import LinkControl

# What statements pay for between regions.
CROSSING_KINDS = frozenset({"sql", "fdw", "copy"})


class Trouble(Protocol):
    """A fault or a stress, from before it begins until after its end.

    Times are epoch seconds. `proofs` holds what was measured of it, by moment;
    `foreign` names toxics that this run did not place.
    """

    proofs: dict[str, dict[str, Any]]
    foreign: list[str]
    in_force_s: float
    removing_s: float
    gone_s: float

    @property
    def links(self) -> list[str]:
        """The links that were hurt."""

    def to_json(self) -> dict[str, Any]:
        """Say how it stands."""

    def prepare(self) -> None:
        """Get ready to measure. Raises what the parts raise."""

    def prove_in_force(self, moment: str) -> list[str]:
        """Measure it; give what speaks against its being in force."""

    def remove(self) -> None:
        """End it."""

    def prove_gone(self) -> list[str]:
        """Measure it; give what speaks against its being gone."""

    def look_back(self, journeys: Sequence[Journey], *, baseline_s: float) -> None:
        """Measure what can only be measured when the load has ended."""

    def trips(self, kinds: Container[str] = CROSSING_KINDS) -> dict[str, int]:
        """Read the paid round trips of the links of some kinds between two regions."""

    def close(self) -> None:
        """Take everything off; harmless when done."""


@runtime_checkable
class Beginning(Protocol):
    """Trouble that is no fault: it is only told when to begin."""

    def begin(self) -> str:
        """Begin, and say what has begun."""

    def to_json(self) -> dict[str, Any]:
        """Say how it stands."""


def paid_trips(control: LinkControl, kinds: Container[str]) -> dict[str, int]:
    """Read the paid round trips of the links of some kinds between two regions."""
    stats = control.stats()
    return {
        link.name: stats[link.name].trips
        for link in control.list()
        if link.spec.kind in kinds
        and link.spec.source != link.spec.target
        and link.name in stats
    }
