"""The schedule of a run, decided before it starts: who arrives when, and wants what.

Pure: the same plan gives the same arrivals, so two profiles meet the same customers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

from load.plan import Flash, Journey, Plan, Surge

CATEGORIES = (
    "books",
    "games",
    "garden",
    "kitchen",
    "music",
    "office",
    "sport",
    "toys",
)
FRONT_PAGE = ""
FLASH = "flash"
CHECKOUT = "checkout"
# Pages of a firm's own prices, which nobody else has.
CONTRACT_PRICES = "contract_prices"
# Networks of consumers, as the registries allot them to the region's countries.
CONSUMER_NETWORKS = {
    "us": "12.{}.{}.{}",
    "eu": "80.140.{1}.{2}",
    "asia": "126.{}.{}.{}",
}
# Corporate customers sit behind few addresses: the declared blocks of their firms.
CORPORATE_NETWORKS = {
    "us": ("198.51.100.{}", 0),
    "eu": ("203.0.113.{}", 0),
    "asia": ("203.0.113.{}", 128),
}
CORPORATE_CUSTOMERS = 10
MAX_LINES = 5
# Most baskets hold one product: 1.5 different ones on average.
LINE_WEIGHTS = (66, 22, 8, 3, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One customer with one intent, `at_s` seconds after the start."""

    at_s: float
    number: int
    journey: str
    home: str
    dialled: str
    door: int  # which of the dialled region's storefronts, modulo their count
    customer_id: str
    client_ip: str
    deadline_s: float
    category: str = FRONT_PAGE
    items: tuple[tuple[str, int], ...] = ()

    @property
    def away(self) -> bool:
        """Whether the customer dials another region than the home one."""
        return self.home != self.dialled


class _Shelf:
    """Products by popularity: the n-th is bought in proportion to 1/n (Zipf)."""

    def __init__(self, products: int) -> None:
        self._numbers = range(1, products + 1)
        self._cumulative = list(accumulate(1 / n for n in self._numbers))

    def pick(self, rng: random.Random) -> int:
        return rng.choices(self._numbers, cum_weights=self._cumulative)[0]


def schedule(plan: Plan) -> list[Arrival]:
    """Every arrival of the run in order of time; Poisson in each journey.

    With `period_s` it is one period's arrivals again and again.
    """
    shelf = _Shelf(max(1, plan.catalogue.products - plan.scarce_products))
    drawn: list[Arrival] = []
    for journey in plan.journeys:
        rng = random.Random(f"{plan.seed}/{journey.name}")  # noqa: S311
        once = list(_stream(plan, journey, shelf, rng))
        drawn.extend(_again(plan, once))
        for index, surge in enumerate(plan.surges):
            more = random.Random(f"{plan.seed}/{journey.name}/surge/{index}")  # noqa: S311
            drawn.extend(_surge(plan, journey, surge, shelf, more))
    for index, flash in enumerate(plan.flash):
        rng = random.Random(f"{plan.seed}/{FLASH}/{index}")  # noqa: S311
        drawn.extend(_crowd(plan, flash, rng))
    drawn.sort(key=lambda arrival: (arrival.at_s, arrival.journey, arrival.number))
    return drawn


def _again(plan: Plan, once: list[Arrival]) -> Iterator[Arrival]:
    """Let the arrivals of one period come again until the end."""
    rounds = math.ceil(plan.duration_s / plan.period_s) if plan.period_s else 1
    for turn in range(rounds):
        for one in once:
            at_s = one.at_s + turn * plan.period_s
            if at_s < plan.duration_s:
                number = one.number + turn * len(once)
                yield replace(one, at_s=at_s, number=number)


def _surge(
    plan: Plan, journey: Journey, surge: Surge, shelf: _Shelf, rng: random.Random
) -> Iterator[Arrival]:
    """Draw those who come on top of the usual load while it is high."""
    lasts_s = min(surge.until_s, plan.duration_s) - surge.at_s
    extra = replace(journey, rate=journey.rate * (surge.times - 1))
    for one in _stream(plan, extra, shelf, rng, until_s=lasts_s):
        yield replace(one, at_s=surge.at_s + one.at_s)


def _stream(
    plan: Plan,
    journey: Journey,
    shelf: _Shelf,
    rng: random.Random,
    *,
    until_s: float = math.inf,
) -> Iterator[Arrival]:
    at, number = 0.0, 0
    until = min(plan.period_s or plan.duration_s, plan.duration_s)
    if math.isfinite(until_s):
        until = until_s
    regions = journey.homes or plan.catalogue.regions
    firms_only = journey.name == CONTRACT_PRICES
    while journey.rate > 0:
        at += rng.expovariate(journey.rate)
        if at >= until:
            return
        number += 1
        home = rng.choice(regions)
        dialled = home
        # Firms stay behind their own addresses.
        if rng.random() < plan.away_share and not firms_only:
            elsewhere = [r for r in plan.catalogue.regions if r != home]
            dialled = rng.choice(elsewhere) if elsewhere else home
        customer = rng.randint(
            1,
            CORPORATE_CUSTOMERS if firms_only else plan.catalogue.customers_per_region,
        )
        yield Arrival(
            at_s=at,
            number=number,
            journey=journey.name,
            home=home,
            dialled=dialled,
            door=rng.randrange(1 << 16),
            customer_id=plan.catalogue.customer(home, customer),
            client_ip=client_ip(home, dialled, customer, rng),
            deadline_s=journey.deadline_s,
            category=_category(journey, rng),
            items=_basket(plan, journey, shelf, rng)
            if journey.name == CHECKOUT
            else (),
        )


def _crowd(plan: Plan, flash: Flash, rng: random.Random) -> Iterator[Arrival]:
    number = 0
    for region in plan.catalogue.regions:
        for reader in range(flash.readers_per_region):
            number += 1
            customer = rng.randint(1, plan.catalogue.customers_per_region)
            yield Arrival(
                at_s=flash.at_s + rng.random() * flash.within_s,
                number=number,
                journey=FLASH,
                home=region,
                dialled=region,
                door=reader,
                customer_id=plan.catalogue.customer(region, customer),
                client_ip=client_ip(region, region, customer, rng),
                deadline_s=flash.deadline_s,
            )


def _category(journey: Journey, rng: random.Random) -> str:
    if rng.random() < journey.front_page_share:
        return FRONT_PAGE
    return rng.choice(CATEGORIES)


def _basket(
    plan: Plan, journey: Journey, shelf: _Shelf, rng: random.Random
) -> tuple[tuple[str, int], ...]:
    if journey.product:
        return ((plan.catalogue.product(journey.product), 1),)
    if journey.lines:
        wanted: set[int] = set()
        while len(wanted) < journey.lines:
            wanted.add(shelf.pick(rng))
    else:
        wanted = {
            shelf.pick(rng)
            for _ in range(rng.choices(range(1, MAX_LINES + 1), LINE_WEIGHTS)[0])
        }
    return tuple(
        (plan.catalogue.product(number), rng.choices((1, 2, 3), (8, 2, 1))[0])
        for number in sorted(wanted)
    )


def client_ip(home: str, dialled: str, customer: int, rng: random.Random) -> str:
    """Draw an address in the dialled region; firms at home have their own."""
    if home == dialled and customer <= CORPORATE_CUSTOMERS:
        network, first = CORPORATE_NETWORKS.get(home, ("198.51.100.{}", 0))
        return network.format(first + customer)
    parts = [rng.randint(1, 254) for _ in range(3)]
    return CONSUMER_NETWORKS.get(dialled, CONSUMER_NETWORKS["us"]).format(*parts)
