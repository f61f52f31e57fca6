"""Services that share no code agree on ids."""

from cockroach.ids import customer_id
from services.orders.domain import Request, Wish
from services.runtime.identity import order_id


def test_storefront_and_orders_derive_the_same_order_id():
    """A repeat of a checkout is found by the id that Orders gave it."""
    request = Request(
        customer=customer_id("eu", 1),
        wishes=(Wish("P0001", 1),),
        card_token="tok_visa",
        key="basket-2026",
    )

    assert order_id("eu", "basket-2026") == request.order_id
