"""Copies of products that came along with lists: most lookups need no load at all."""

import time
from collections.abc import Callable, Iterable

from resilience import Cached
from services.catalog.domain import Product


class Listed:
    """The newest listed copy of each product and when it was loaded.

    As many entries as there are products in all lists, each replaced in place.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._copies: dict[str, tuple[Product, float]] = {}

    def put(self, products: Iterable[Product], *, age_s: float = 0.0) -> None:
        """Remember what a list was loaded with, `age_s` seconds ago."""
        loaded_at = self._clock() - age_s
        self._copies.update((one.id, (one, loaded_at)) for one in products)

    def get(
        self, product_id: str, *, ttl_s: float, stale_s: float = 0.0
    ) -> Cached[Product | None] | None:
        """Return a copy of at most `ttl_s + stale_s` seconds; None without one."""
        product, loaded_at = self._copies.get(product_id, (None, 0.0))
        age = self._clock() - loaded_at
        if product is None or age > ttl_s + stale_s:
            return None
        stale = age > ttl_s
        return Cached(
            value=product, age_s=age, stale=stale, source="stale" if stale else "hit"
        )

    def __len__(self) -> int:
        return len(self._copies)

    def __repr__(self) -> str:
        return f"<Listed {len(self)} products>"
