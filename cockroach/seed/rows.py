"""The seeded rows, as the text that COPY reads; no database is involved.

The same integer gives the same rows. Popularity follows Zipf's law over the
products' numbers, baskets hold one to five lines with small ones most common.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from cockroach.ids import contract_id, customer_id, product_id
from cockroach.schema.tables import STOCK_SHARDS
from cockroach.seed import words
from cockroach.topology import REGIONS

DEFAULT_SEED = 20_240_229
PRODUCTS = 500
CUSTOMERS_PER_REGION = 300
CORPORATE_PER_REGION = 10
CONTRACT_PRODUCTS = 100
ORDERS_PER_REGION = 2000
STOCK = 100_000
# Products that can be sold out on purpose: none left, and one left.
STOCK_EXCEPTIONS = {PRODUCTS: 0, PRODUCTS - 1: 1}
CURRENCY = "USD"

_FIRST_ORDER = datetime(2026, 1, 1, tzinfo=UTC)
_MINUTES = 90 * 24 * 60
_BASKET_SIZES = (1, 2, 3, 4, 5)
_BASKET_WEIGHTS = (40, 28, 17, 10, 5)
_QUANTITIES = (1, 1, 1, 1, 2, 2, 3)
_NULL = r"\N"

Rows = list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedData:
    """COPY text per table: once for GLOBAL tables, per region for the others."""

    seed: int
    shared: Mapping[str, str]
    regional: Mapping[str, Mapping[str, str]]


def generate(seed: int = DEFAULT_SEED) -> SeedData:
    """Make every row. The regions draw from generators of their own."""
    rng = random.Random(f"products {seed}")  # noqa: S311 - must repeat
    prices = [_price(rng) for _ in range(PRODUCTS)]
    return SeedData(
        seed=seed,
        shared={"products": _products(rng, prices), "ip_blocks": _ip_blocks()},
        regional={r: _Region(seed, r, prices).tables() for r in REGIONS},
    )


def _price(rng: random.Random) -> int:
    # Log-normal around 25.00, ending in 9 as shops have it.
    return min(max(int(rng.lognormvariate(7.8, 0.8)) // 10 * 10 + 9, 199), 99_999)


def _lines(rows: Iterable[Iterable[object]]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def _products(rng: random.Random, prices: list[int]) -> str:
    def row(n: int) -> tuple[object, ...]:
        category = words.CATEGORIES[(n - 1) % len(words.CATEGORIES)]
        thing = rng.choice(words.THINGS[category])
        name = f"{rng.choice(words.QUALITIES)} {thing} {n}"
        popularity = 1_000_000 // n
        return product_id(n), name, category, prices[n - 1], CURRENCY, popularity

    return _lines(row(n) for n in range(1, PRODUCTS + 1))


def _ip_blocks() -> str:
    return _lines(words.IP_BLOCKS)


class _Region:
    def __init__(self, seed: int, region: str, prices: list[int]) -> None:
        self._rng = random.Random(f"{region} {seed}")  # noqa: S311 - must repeat
        self._region = region
        self._prices = prices
        self._products = [product_id(n) for n in range(1, PRODUCTS + 1)]
        self._cumulative = list(accumulate(1 / n for n in range(1, PRODUCTS + 1)))
        self._orders: Rows = []
        self._items: Rows = []
        self._payments: Rows = []
        self._ledger: Rows = []
        self._reservations: Rows = []

    def tables(self) -> dict[str, str]:
        """Make the rows of every seeded REGIONAL table, referenced tables first."""
        customers = self._customers()
        for n in range(1, ORDERS_PER_REGION + 1):
            self._order(n)
        return {
            "customers": customers,
            "stock": self._stock(),
            "contract_prices": self._contract_prices(),
            "orders": "".join(self._orders),
            "order_items": "".join(self._items),
            "payments": "".join(self._payments),
            "ledger_entries": "".join(self._ledger),
            "reservations": "".join(self._reservations),
        }

    def _uuid(self) -> str:
        # A version 4 UUID from our own generator: uuid4 would not repeat.
        text = f"{self._rng.getrandbits(128):032x}"
        variant = "89ab"[int(text[16], 16) % 4]
        return (
            f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
        )

    def _customers(self) -> str:
        def row(n: int) -> tuple[object, ...]:
            uuid = customer_id(self._region, n).uuid
            country = self._rng.choice(words.COUNTRIES[self._region])
            if n <= CORPORATE_PER_REGION:
                name = f"{words.FIRMS[self._region]} {n}"
                contract = contract_id(self._region, n)
                return self._region, uuid, name, "corporate", country, contract
            name = f"{self._rng.choice(words.FIRST)} {self._rng.choice(words.LAST)}"
            return self._region, uuid, name, "consumer", country, _NULL

        return _lines(row(n) for n in range(1, CUSTOMERS_PER_REGION + 1))

    def _stock(self) -> str:
        # Evenly, so that who takes from one row and who takes from any finds enough.
        rows: list[tuple[object, ...]] = []
        for n, product in enumerate(self._products, 1):
            each, odd = divmod(STOCK_EXCEPTIONS.get(n, STOCK), STOCK_SHARDS)
            rows += [
                (self._region, product, each + (odd if shard == 0 else 0), shard)
                for shard in range(STOCK_SHARDS)
            ]
        return _lines(rows)

    def _contract_prices(self) -> str:
        rows = []
        for n in range(1, CORPORATE_PER_REGION + 1):
            contract = contract_id(self._region, n)
            for index in self._rng.sample(range(PRODUCTS), CONTRACT_PRODUCTS):
                price = self._prices[index] * self._rng.randint(75, 95) // 100
                rows.append((self._region, contract, self._products[index], price))
        return _lines(rows)

    def _basket(self) -> list[int]:
        rng = self._rng
        (size,) = rng.choices(_BASKET_SIZES, _BASKET_WEIGHTS)
        drawn = rng.choices(range(PRODUCTS), cum_weights=self._cumulative, k=size)
        return list(dict.fromkeys(drawn))

    def _order(self, n: int) -> None:
        rng, region = self._rng, self._region
        order = self._uuid()
        customer = customer_id(region, rng.randint(1, CUSTOMERS_PER_REGION)).uuid
        minutes = rng.randrange(_MINUTES)
        when = (_FIRST_ORDER + timedelta(minutes=minutes)).isoformat()
        total = 0
        held = []
        for line, index in enumerate(self._basket(), 1):
            quantity = rng.choice(_QUANTITIES)
            price = self._prices[index]
            total += quantity * price
            held.append({"product_id": self._products[index], "quantity": quantity})
            self._items.append(
                f"{region}\t{order}\t{line}\t{self._products[index]}"
                f"\t{quantity}\t{price}\n"
            )
        key = f"seed-{region}-{n:06d}"
        self._orders.append(
            f"{region}\t{order}\t{customer}\t{key}\tseed\tconfirmed\t{total}"
            f"\t{CURRENCY}\t{_NULL}\ttok_visa\t{when}\t{when}\n"
        )
        self._payments.append(
            f"{region}\t{order}\t{key}\tseed\t{total}\t{CURRENCY}\tcaptured"
            f"\t{when}\t{when}\n"
        )
        self._reservations.append(
            f"{region}\t{order}\t{json.dumps(held)}\tcommitted\t{when}\n"
        )
        for account, amount in (("acquirer", total), ("sales", -total)):
            self._ledger.append(
                f"{region}\t{self._uuid()}\t{order}\t{account}\t{amount}\t{when}\n"
            )
