"""What the generator is to play: rates, deadlines, flash crowds and addresses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JOURNEYS = ("browse", "checkout", "contract_prices", "history")


class PlanError(ValueError):
    """The plan cannot be played; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One kind of journey: `rate` a second over all regions, deadline in seconds.

    `homes` are the regions whose customers make it, all of them when empty; `lines`
    the different products in every basket, 0 for as many as customers usually buy;
    `product` is the number of the only one that all of them buy, 0 for any.
    """

    name: str
    rate: float
    deadline_s: float
    front_page_share: float = 0.5
    homes: tuple[str, ...] = ()
    lines: int = 0
    product: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """A crowd that reads the front page at `at_s`, just when its cache has expired."""

    at_s: float
    readers_per_region: int
    within_s: float = 0.1
    deadline_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """A peak: `times` as many journeys of every kind from `at_s` until `until_s`."""

    at_s: float
    until_s: float
    times: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The seeded customers and products, and how their ids are written."""

    regions: tuple[str, ...]
    customers_per_region: int
    customer_id: str
    products: int
    product_id: str

    def customer(self, region: str, number: int) -> str:
        """Return the public id of a seeded customer, counted from 1."""
        return self.customer_id.format(region=region, n=number)

    def product(self, number: int) -> str:
        """Return the public id of a product, counted from 1, most popular first."""
        return self.product_id.format(n=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides a run of the generator. Times are seconds."""

    seed: int
    start_at: float
    duration_s: float
    journeys: tuple[Journey, ...]
    away_share: float
    flash: tuple[Flash, ...]
    surges: tuple[Surge, ...] = ()
    storefronts: Mapping[str, Sequence[str]]
    catalogs: Mapping[str, Sequence[str]]
    catalogue: Catalogue
    # Seconds after which the same journeys arrive again, so that spans of time can be
    # compared on the same arrivals; 0 for never.
    period_s: float = 0.0
    otlp: str = ""
    profile: str = ""
    max_in_flight: int = 5000
    # Products at the end of the list that are scarce by design and not bought here.
    scarce_products: int = 2
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """Build a plan. Raises PlanError, naming what is missing or wrong."""
        known = dict(document)
        try:
            plan = cls(
                seed=int(known.pop("seed")),
                start_at=float(known.pop("start_at")),
                duration_s=float(known.pop("duration_s")),
                journeys=tuple(_journey(one) for one in known.pop("journeys")),
                away_share=float(known.pop("away_share", 0.0)),
                flash=tuple(Flash(**one) for one in known.pop("flash", ())),
                surges=tuple(Surge(**one) for one in known.pop("surges", ())),
                storefronts=_addresses(known.pop("storefronts")),
                catalogs=_addresses(known.pop("catalogs", {})),
                catalogue=_catalogue(known.pop("catalogue")),
                period_s=float(known.pop("period_s", 0.0)),
                otlp=str(known.pop("otlp", "") or ""),
                profile=str(known.pop("profile", "") or ""),
                max_in_flight=int(known.pop("max_in_flight", 5000)),
                scarce_products=int(known.pop("scarce_products", 2)),
                extra=known,
            )
        except KeyError as missing:
            raise PlanError(f"the plan lacks {missing}") from missing
        except (TypeError, ValueError) as wrong:
            raise PlanError(f"the plan does not hold: {wrong}") from wrong
        plan._check()
        return plan

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan file. Raises OSError, PlanError."""
        try:
            document = json.loads(path.read_text())
        except json.JSONDecodeError as wrong:
            raise PlanError(f"{path} is not JSON: {wrong}") from wrong
        return cls.from_json(document)

    def _check(self) -> None:
        for journey in self.journeys:
            self._check_journey(journey)
        if any(one.times < 1 or one.until_s <= one.at_s for one in self.surges):
            raise PlanError("a surge has an end, and at least the usual load")
        if self.period_s < 0:
            raise PlanError(f"period_s must not be negative, not {self.period_s:g}")
        for region in self.catalogue.regions:
            if not self.storefronts.get(region):
                raise PlanError(f"no storefront to dial in region {region!r}")
        if not 0 <= self.away_share <= 1:
            raise PlanError(f"away_share is a share, not {self.away_share}")

    def _check_journey(self, journey: Journey) -> None:
        if journey.name not in JOURNEYS:
            raise PlanError(
                f"unknown journey {journey.name!r}; there are {', '.join(JOURNEYS)}"
            )
        if journey.rate < 0 or journey.deadline_s <= 0:
            raise PlanError(f"{journey.name}: rate and deadline must be positive")
        if not 0 <= journey.product <= self.catalogue.products:
            raise PlanError(f"{journey.name}: there is no product {journey.product}")
        if not 0 <= journey.lines < self.catalogue.products - self.scarce_products:
            raise PlanError(f"{journey.name}: no basket of {journey.lines} products")
        strange = set(journey.homes) - {*self.catalogue.regions}
        if strange:
            raise PlanError(f"{journey.name}: nobody is at home in {min(strange)!r}")


def _addresses(given: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {region: tuple(addresses) for region, addresses in given.items()}


def _journey(given: Mapping[str, Any]) -> Journey:
    return Journey(**{**given, "homes": tuple(given.get("homes", ()))})


def _catalogue(given: Mapping[str, Any]) -> Catalogue:
    known = dict(given)
    known["regions"] = tuple(known["regions"])
    return Catalogue(**known)
