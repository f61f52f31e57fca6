"""What a check is: a question to the spans and journeys of a run, with a bound.

Checks are pure. Their bounds stand in the experiment file and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from chaos.journeys import CHECKOUT, Journey
from chaos.timeline import Timeline
from observability import names
from observability.evidence import Evidence
from observability.spans import Span

SHOWN_TRACES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTrips:
    """Round trips that the links between regions counted in a span of time.

    `between_gateways` are those of `cross_region` that one database server made to
    another for a statement; None where they were not told apart.
    """

    since_s: float
    until_s: float
    cross_region: int
    between_gateways: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeCount:
    """How many ranges a table had, as the database told of it at one moment."""

    moment: str
    table: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that a verdict looks at: journeys, spans, times, trips.

    `region` is hit, or the one `gateway` in it that is named.
    """

    journeys: Sequence[Journey]
    evidence: Evidence
    timeline: Timeline
    region: str
    flashes_s: Sequence[float] = ()
    trips: LinkTrips | None = None
    max_stale_ms: float = 30_000.0
    slo_p95_ms: float = 750.0
    gateway: str = ""
    ranges: Sequence[RangeCount] = ()

    @property
    def during(self) -> tuple[int, int]:
        """The fault's window, as evidence takes it."""
        window = self.timeline.during
        return window.since_ns, window.until_ns

    @cached_property
    def by_trace(self) -> dict[str, Journey]:
        """The journey that began each trace."""
        return {one.trace_id: one for one in self.journeys if one.trace_id}

    def checkouts(
        self, since_s: float, until_s: float, *, successful: bool = False
    ) -> list[Journey]:
        """Give the checkouts that were meant to start in a span of time."""
        return [
            one
            for one in self.journeys
            if one.journey == CHECKOUT
            and since_s <= one.intended_s < until_s
            and (not successful or one.succeeded(self.max_stale_ms))
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The answer to one check, with the traces that show it."""

    name: str
    passed: bool
    observed: Any
    expected: str
    trace_ids: tuple[str, ...] = ()
    note: str = field(default="")

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "name": self.name,
            "passed": self.passed,
            "observed": self.observed,
            "expected": self.expected,
            "trace_ids": list(self.trace_ids),
            **({"note": self.note} if self.note else {}),
        }


Bounds = Mapping[str, Any]
CheckFunction = Callable[[Scene, Bounds], Check]


class UnknownCheckError(ValueError):
    """An experiment asks for a check that there is not."""


def run(
    registry: Mapping[str, CheckFunction],
    wanted: Mapping[str, Bounds],
    scene: Scene,
) -> list[Check]:
    """Run the checks that an experiment asks for. Raises UnknownCheckError."""
    for name in wanted:
        if name not in registry:
            known = ", ".join(sorted(registry))
            raise UnknownCheckError(f"no check named {name!r}; there are: {known}")
    return [registry[name](scene, bounds) for name, bounds in wanted.items()]


def at_least(
    name: str, observed: float, bound: float, what: str, traces: Iterable[str] = ()
) -> Check:
    """Pass when the number reaches the bound."""
    return Check(
        name=name,
        passed=observed >= bound,
        observed=_short(observed),
        expected=f"at least {bound:g} {what}",
        trace_ids=shown(traces),
    )


def at_most(
    name: str, observed: float, bound: float, what: str, traces: Iterable[str] = ()
) -> Check:
    """Pass when the number does not pass the bound."""
    return Check(
        name=name,
        passed=observed <= bound,
        observed=_short(observed),
        expected=f"at most {bound:g} {what}",
        trace_ids=shown(traces),
    )


def unproven(check: Check, note: str) -> Check:
    """Give the check as failed, for what it needed was not there to be seen."""
    return replace(check, passed=False, note=note)


def shown(traces: Iterable[str]) -> tuple[str, ...]:
    """Give the first few different traces."""
    return tuple(dict.fromkeys(trace for trace in traces if trace))[:SHOWN_TRACES]


def gateway_region(span: Span) -> str:
    """Name the region of the database server that a statement was sent to."""
    return str(span.attributes.get(names.GATEWAY_REGION, ""))


def crosses(span: Span) -> bool:
    """Tell whether a statement left the region of the process that sent it."""
    gateway = gateway_region(span)
    client = str(span.attributes.get(names.CLIENT_REGION, "")) or span.region
    return bool(gateway and client and gateway != client)


def _short(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
