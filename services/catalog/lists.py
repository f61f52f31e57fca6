"""The lists of one process: copies by category, loaded once for the whole region."""

import time
from collections.abc import Awaitable, Callable
from functools import partial

from resilience import Aged, CacheConfig, Cached, Coalescer, Listener, LoadLease
from services.catalog.domain import Product
from services.catalog.listed import Listed
from services.catalog.store import CatalogStore
from services.runtime import caching
from services.runtime.policy import PolicySet

Products = tuple[Product, ...]
#: Asks another process for a list: address, category, greatest age in seconds.
Fetch = Callable[[str, str, float], Awaitable[Aged[Products]]]

# A quarter of a copy's life: what is fetched still has most of it before it.
FETCHED_WITHIN = 0.25


class Lists:
    """Copies of this process' lists, and of the products on them.

    `own` and `members` are addresses of the region's catalogs. All methods that load
    raise DatabaseError.
    """

    def __init__(
        self,
        store: CatalogStore,
        *,
        policies: Callable[[], PolicySet],
        listener: Listener,
        own: str = "",
        members: tuple[str, ...] = (),
        fetch: Fetch,
        unreachable: Callable[[Exception], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._policies = policies
        self._clock = clock
        self._fetch = fetch
        self._copies: Coalescer[str, Products] = Coalescer(
            caching.cache_config(policies), listener=listener, clock=clock
        )
        self._lease: LoadLease[Products] = LoadLease(
            own, members, ask=self._ask, unreachable=unreachable
        )
        self._listed = Listed(clock)
        self._loaded: set[str] = set()
        self._expired_at: dict[str, float] = {}

    async def get(self, category: str) -> Cached[Products]:
        """Return a list, by the copy where there is one."""
        cached = await self._copies.get(category, partial(self._load, category))
        self._loaded.add(category)
        return cached

    async def refresh(self, category: str) -> None:
        """Replace the copy now, for those who come later."""
        await self._copies.refresh(category, partial(self._load, category))
        self._loaded.add(category)

    async def shared(self, category: str, max_age_s: float) -> Aged[Products]:
        """Return a copy that is fresh and not too old; as the holder of its lease.

        Whoever asks while it is loaded waits for the one load.
        """
        policies = self._policies()
        fresh = CacheConfig(
            ttl_s=policies.cache_ttl_s,
            stale_while_revalidate=False,
            load_timeout_s=policies.rpc_timeout_s,
        )
        here = partial(self._here, category)
        cached = await self._copies.get(category, here, config=fresh)
        self._loaded.add(category)
        if cached.age_s > max_age_s:
            await self._copies.refresh(category, here)
            cached = await self._copies.get(category, here, config=fresh)
        return Aged(cached.value, cached.age_s)

    def expire(self, category: str) -> int:
        """Make the copy stale now; return how many there were."""
        self._expired_at[category] = self._clock()
        self._copies.expire(category)
        return int(category in self._loaded)

    def listed(
        self, product_id: str, *, stale_s: float = 0.0
    ) -> Cached[Product | None] | None:
        """Return a product as it came with a list, if that is young enough."""
        return self._listed.get(
            product_id, ttl_s=self._policies().cache_ttl_s, stale_s=stale_s
        )

    async def _load(self, category: str) -> Products | Aged[Products]:
        here = partial(self._here, category)
        if not self._policies().lease:
            return await here()
        found = await self._lease.load(category, here)
        if isinstance(found, Aged):
            self._listed.put(found.value, age_s=found.age_s)
        return found

    async def _here(self, category: str) -> Products:
        batched = self._policies().sql_batching == "batched"
        store = self._store
        products = await (store.category_all if batched else store.category_each)(
            category
        )
        self._listed.put(products)
        return products

    async def _ask(self, holder: str, category: str) -> Aged[Products]:
        # What was expired here must not come back as a copy from before.
        since = self._clock() - self._expired_at.get(category, float("-inf"))
        within = self._policies().cache_ttl_s * FETCHED_WITHIN
        return await self._fetch(holder, category, min(within, since))
