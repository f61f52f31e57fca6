"""What may be asked of the stock, and which shape of SQL answers."""

from collections.abc import Callable, Sequence

from cockroach.ids import PublicId
from cockroach.schema.tables import STOCK_SHARDS
from services.inventory.domain import (
    Line,
    OutOfStockError,
    ReservationClosedError,
    merged,
)
from services.inventory.store import InventoryStore
from services.inventory.together import Together, Wanted
from services.runtime.errors import ShopError, not_found, precondition
from services.runtime.policy import PolicySet


class InventoryHandlers:
    """The use cases of one region's stock."""

    def __init__(
        self, store: InventoryStore, *, region: str, policies: Callable[[], PolicySet]
    ) -> None:
        self._store = store
        self._region = region
        self._policies = policies
        self._together = Together(self._take_together)

    async def stock(self, products: Sequence[str]) -> dict[str, int]:
        """Return what may be sold of each product. Raises UNKNOWN_PRODUCT."""
        batched = self._policies().sql_batching == "batched"
        ask = self._store.available_all if batched else self._store.available_each
        found = await ask(self._region, products)
        unknown = sorted(set(products) - set(found))
        if unknown:
            raise not_found(
                "UNKNOWN_PRODUCT",
                f"no stock is kept of {', '.join(unknown)}",
                products=",".join(unknown),
            )
        return found

    async def reserve_one(self, order: PublicId, line: Line) -> None:
        """Add one line to an order's reservation. Raises OUT_OF_STOCK."""
        try:
            await self._store.reserve_each(order, [line], shards=self._shards)
        except (OutOfStockError, ReservationClosedError) as error:
            raise _refusal(error) from error

    async def reserve(self, order: PublicId, lines: Sequence[Line]) -> None:
        """Reserve all lines or none. Raises OUT_OF_STOCK, RESERVATION_CLOSED."""
        policies = self._policies()
        batched = policies.sql_batching == "batched"
        together = policies.reservations == "together" and order.region == self._region
        taking = merged(lines)
        try:
            if batched and together:
                await self._together.reserve(order, taking)
            elif batched:
                await self._store.reserve_all(order, taking, shards=self._shards)
            else:
                await self._store.reserve_each(order, taking, shards=self._shards)
        except (OutOfStockError, ReservationClosedError) as error:
            raise _refusal(error) from error

    async def commit(self, order: PublicId) -> None:
        """Turn the reservation into a sale. Raises RESERVATION_CLOSED."""
        try:
            await self._store.commit(order)
        except ReservationClosedError as error:
            raise _refusal(error) from error

    async def release(self, order: PublicId) -> None:
        """Give everything back, sold or not, for good."""
        batched = self._policies().sql_batching == "batched"
        give = self._store.release_all if batched else self._store.release_each
        await give(order)

    async def _take_together(
        self, wanted: Sequence[Wanted]
    ) -> Sequence[Exception | None]:
        if len(wanted) > 1:
            return await self._store.reserve_together(
                [(one.order, one.lines) for one in wanted], shards=self._shards
            )
        (one,) = wanted
        await self._store.reserve_all(one.order, one.lines, shards=self._shards)
        return [None]

    @property
    def _shards(self) -> int:
        return STOCK_SHARDS if self._policies().stock_keys == "sharded" else 1


def _refusal(error: OutOfStockError | ReservationClosedError) -> ShopError:
    if isinstance(error, OutOfStockError):
        return precondition(
            "OUT_OF_STOCK", str(error), products=",".join(error.products)
        )
    return precondition("RESERVATION_CLOSED", str(error), state=error.state or "none")
