"""Carts on the wire: messages in, messages out."""

from collections.abc import Callable, Iterable
from typing import Any

import grpc

from cockroach.ids import PublicId
from protos.shop.v1 import cart_pb2 as pb
from protos.shop.v1 import cart_pb2_grpc, common_pb2
from services.cart.domain import Line
from services.cart.handlers import CartHandlers
from services.runtime.policy import PolicySet
from services.runtime.validate import Check, at_home

Context = grpc.aio.ServicerContext[Any, Any]


class CartServicer(cart_pb2_grpc.CartServiceServicer):
    """The CartService of one region."""

    def __init__(
        self,
        handlers: CartHandlers,
        *,
        region: str,
        policies: Callable[[], PolicySet],
    ) -> None:
        self._handlers = handlers
        self._region = region
        self._policies = policies

    async def GetCart(  # noqa: N802
        self, request: pb.GetCartRequest, context: Context
    ) -> pb.GetCartResponse:
        """Return a customer's cart."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
        self._ours(customer)
        return pb.GetCartResponse(
            cart=_cart(customer, await self._handlers.cart(customer))
        )

    async def AddItem(  # noqa: N802
        self, request: pb.AddItemRequest, context: Context
    ) -> pb.AddItemResponse:
        """Add a quantity of one product."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            line = check.line("item", request.item)
            key = check.idempotency_key(request.idempotency_key)
        self._ours(customer)
        lines = await self._handlers.add(customer, [line], key)
        return pb.AddItemResponse(cart=_cart(customer, lines))

    async def BatchAddItems(  # noqa: N802
        self, request: pb.BatchAddItemsRequest, context: Context
    ) -> pb.BatchAddItemsResponse:
        """Add several products in one call."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            lines = check.lines("items", request.items)
            key = check.idempotency_key(request.idempotency_key)
        self._ours(customer)
        cart = await self._handlers.add(customer, lines, key)
        return pb.BatchAddItemsResponse(cart=_cart(customer, cart))

    async def ClearCart(  # noqa: N802
        self, request: pb.ClearCartRequest, context: Context
    ) -> pb.ClearCartResponse:
        """Empty a customer's cart."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            key = check.idempotency_key(request.idempotency_key)
        self._ours(customer)
        await self._handlers.clear(customer, key)
        return pb.ClearCartResponse()

    def _ours(self, customer: PublicId) -> None:
        at_home(customer, self._region, self._policies())


def _cart(customer: PublicId, lines: Iterable[Line]) -> pb.Cart:
    return pb.Cart(
        customer_id=str(customer),
        items=[
            common_pb2.LineItem(product_id=product, quantity=quantity)
            for product, quantity in lines
        ],
    )
