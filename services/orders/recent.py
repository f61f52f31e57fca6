"""Orders that this process saw lately: what it can tell when its database cannot."""

from collections import OrderedDict

from cockroach.ids import PublicId
from services.orders.domain import Order

MAX_CUSTOMERS = 2_000
MAX_EACH = 20


class Recent:
    """The newest orders of the customers seen last; bounded in both."""

    def __init__(self, customers: int = MAX_CUSTOMERS, each: int = MAX_EACH) -> None:
        self._customers = customers
        self._each = each
        self._orders: OrderedDict[PublicId, OrderedDict[PublicId, Order]] = (
            OrderedDict()
        )

    def see(self, order: Order) -> None:
        """Remember an order as it is now."""
        orders = self._orders.setdefault(order.customer, OrderedDict())
        self._orders.move_to_end(order.customer)
        orders[order.id] = order
        while len(orders) > self._each:
            orders.popitem(last=False)
        while len(self._orders) > self._customers:
            self._orders.popitem(last=False)

    def of(self, customer: PublicId) -> list[Order]:
        """Return what is remembered of a customer, newest first."""
        return sorted(
            self._orders.get(customer, {}).values(),
            key=lambda order: (order.created_at, order.id.uuid),
            reverse=True,
        )

    def find(self, order: PublicId) -> Order | None:
        """Return an order if it is remembered."""
        return next(
            (
                orders[order]
                for orders in reversed(self._orders.values())
                if order in orders
            ),
            None,
        )
