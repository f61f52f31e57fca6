"""What may be asked of the catalog, through a cache of this process."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from cockroach.errors import DatabaseError
from cockroach.ids import PublicId
from cockroach.loader import Gather
from resilience import Aged, Cached, Coalescer, Listener
from services.catalog.domain import (
    Contract,
    Product,
    Staleness,
    contract_page,
    cut,
    known_category,
)
from services.catalog.lists import Lists
from services.catalog.store import CatalogStore
from services.runtime import caching
from services.runtime.errors import invalid, not_found
from services.runtime.policy import PolicySet


class CatalogHandlers:
    """The use cases of one process; its caches live here."""

    def __init__(
        self,
        store: CatalogStore,
        lists: Lists,
        *,
        policies: Callable[[], PolicySet],
        listener: Listener,
    ) -> None:
        self._store = store
        self._lists = lists
        self._policies = policies
        self._products: Coalescer[str, Product | None] = Coalescer(
            caching.cache_config(policies), listener=listener
        )
        self._batch: Gather[str, Product] = Gather(store.products)

    async def page(
        self, category: str, offset: int, size: int
    ) -> tuple[Sequence[Product], str, Staleness]:
        """Return one page of a list, the next token, and how old it is."""
        cached = await self._lists.get(_known(category))
        caching.note(cached)
        page, token = cut(cached.value, offset, size)
        return page, token, _staleness(cached)

    async def product(self, product_id: str) -> tuple[Product, Staleness]:
        """Return one product. Raises UNKNOWN_PRODUCT."""
        cached = await self._products.get(
            product_id, lambda: self._store.product(product_id)
        )
        caching.note(cached)
        if cached.value is None:
            raise not_found(
                "UNKNOWN_PRODUCT", f"no product {product_id}", product_id=product_id
            )
        return cached.value, _staleness(cached)

    async def products(
        self, product_ids: Sequence[str]
    ) -> tuple[list[Product], list[str], Staleness]:
        """Return the products there are, the ids of the others, and the age."""
        wanted = list(dict.fromkeys(product_ids))
        if self._policies().sql_batching == "batched":
            answers = await asyncio.gather(*(self._batched(one) for one in wanted))
        else:
            answers = [await self._single(one) for one in wanted]
        found = [one.value for one in answers if one.value is not None]
        missing = [
            product_id
            for product_id, one in zip(wanted, answers, strict=True)
            if one.value is None
        ]
        age = Staleness()
        for one in answers:
            age = age.worse(_staleness(one))
        return found, missing, age

    async def contract(self, customer: PublicId, after: str, size: int) -> Contract:
        """Return one page of a customer's contract prices. Raises UNKNOWN_CUSTOMER."""
        found = await self._store.contract(
            customer,
            after=after,
            size=size + 1,
            local=self._policies().query_schema == "local",
        )
        if found is None:
            raise not_found("UNKNOWN_CUSTOMER", f"no customer {customer}")
        contract_id, prices = found
        return contract_page(contract_id, prices, size)

    async def shared(
        self, category: str, max_age_s: float
    ) -> Aged[tuple[Product, ...]]:
        """Return a whole list to another process, as the one that loads it."""
        return await self._lists.shared(_known(category), max_age_s)

    def expire(self, category: str) -> int:
        """Make a cached list stale now; return how many copies there were."""
        return self._lists.expire(_known(category))

    async def _single(self, product_id: str) -> Cached[Product | None]:
        return await self._products.get(
            product_id, lambda: self._store.product(product_id)
        )

    async def _batched(self, product_id: str) -> Cached[Product | None]:
        listed = self._lists.listed(product_id)
        if listed is not None:
            return listed
        try:
            return await self._products.get(
                product_id, lambda: self._batch.get(product_id)
            )
        except DatabaseError:
            old = self._lists.listed(product_id, stale_s=self._policies().stale_s)
            if old is None:
                raise
            return old


def _known(category: str) -> str:
    if not known_category(category):
        raise invalid([("category", f"there is no category {category!r}")])
    return category


def _staleness(cached: Cached[Any]) -> Staleness:
    return Staleness(age_s=cached.age_s, stale=cached.stale)
