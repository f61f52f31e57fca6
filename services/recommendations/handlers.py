"""What a visitor is recommended, from a cached list of what sells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cockroach.errors import DatabaseError
from resilience import Coalescer, Fallback, Listener, Served
from services.recommendations.domain import Popular, recommend
from services.recommendations.store import RecommendationStore
from services.runtime import caching
from services.runtime.errors import from_database
from services.runtime.policy import PolicySet

_ALL = "popular"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """Products, and how second best they are: past their freshness, or none."""

    product_ids: Sequence[str]
    stale_s: float | None = None
    fallback: bool = False


class RecommendationHandlers:
    """The use case of one process; its cache lives here."""

    def __init__(
        self,
        store: RecommendationStore,
        *,
        policies: Callable[[], PolicySet],
        listener: Listener,
    ) -> None:
        self._store = store
        self._policies = policies
        self._popular: Coalescer[str, tuple[Popular, ...]] = Coalescer(
            caching.cache_config(policies), listener=listener
        )
        self._nothing: Fallback[Recommended] = Fallback(
            "database",
            lambda _: Recommended(product_ids=(), fallback=True),
            method="popular",
            listener=listener,
        )

    async def recommend(self, seen: Sequence[str], limit: int) -> Recommended:
        """Return up to `limit` products; none, and saying so, when none can be had."""

        async def best() -> Recommended:
            try:
                cached = await self._popular.get(_ALL, self._store.popular)
            except DatabaseError as error:
                raise from_database(error) from error
            caching.note(cached)
            return Recommended(
                product_ids=recommend(cached.value, seen, limit),
                stale_s=cached.age_s if cached.stale else None,
            )

        if not self._policies().fallbacks:
            return await best()
        served: Served[Recommended] = await self._nothing.run(best)
        return served.value
