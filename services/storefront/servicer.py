"""The storefront on the wire: check, judge, then serve here or forward once."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from cockroach.ids import PublicId
from protos.shop.v1 import storefront_pb2 as pb
from protos.shop.v1 import storefront_pb2_grpc
from services.runtime.validate import Check
from services.storefront.gate import Gate, Visit
from services.storefront.handlers import Journeys

Context = grpc.aio.ServicerContext[Any, Any]


class StorefrontServicer(storefront_pb2_grpc.StorefrontServicer):
    """The Storefront service of one region."""

    def __init__(self, gate: Gate, journeys: Journeys) -> None:
        self._gate = gate
        self._journeys = journeys

    async def Browse(  # noqa: N802
        self, request: pb.BrowseRequest, context: Context
    ) -> pb.BrowseResponse:
        """Show products; catalogues are the same everywhere, so always here."""
        customer = None
        with Check() as check:
            if request.customer_id:
                customer = check.public_id("customer_id", request.customer_id)
            check.page(request.page)
        visit = self._gate.visit("browse", context, customer=customer)
        shown = await self._journeys.browse(request)
        shown.region = visit.region
        shown.routed_by = visit.routed_by
        return shown

    async def ContractPrices(  # noqa: N802
        self, request: pb.ContractPricesRequest, context: Context
    ) -> pb.ContractPricesResponse:
        """Show a corporate customer's agreed prices."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            check.page(request.page)
        visit = self._of_customer("contract prices", context, customer)
        if visit.elsewhere:
            return await self._gate.forward(visit, "ContractPrices", request)  # type: ignore[no-any-return]
        return await self._journeys.contract_prices(request)

    async def AddToCart(  # noqa: N802
        self, request: pb.AddToCartRequest, context: Context
    ) -> pb.AddToCartResponse:
        """Put something into the cart."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            check.line("item", request.item)
            check.idempotency_key(request.idempotency_key)
        visit = self._of_customer("cart", context, customer)
        if visit.elsewhere:
            return await self._gate.forward(visit, "AddToCart", request)  # type: ignore[no-any-return]
        return await self._journeys.add_to_cart(request)

    async def ViewCart(  # noqa: N802
        self, request: pb.ViewCartRequest, context: Context
    ) -> pb.ViewCartResponse:
        """Show the cart."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
        visit = self._of_customer("cart", context, customer)
        if visit.elsewhere:
            return await self._gate.forward(visit, "ViewCart", request)  # type: ignore[no-any-return]
        return await self._journeys.view_cart(request)

    async def Checkout(  # noqa: N802
        self, request: pb.CheckoutRequest, context: Context
    ) -> pb.CheckoutResponse:
        """Place an order."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            check.lines("items", request.items, least=0)
            check.card_token(request.card_token)
            check.idempotency_key(request.idempotency_key)
        visit = self._of_customer("checkout", context, customer)
        if visit.elsewhere:
            return await self._gate.forward(visit, "Checkout", request)  # type: ignore[no-any-return]
        return await self._journeys.checkout(customer, request)

    async def OrderHistory(  # noqa: N802
        self, request: pb.OrderHistoryRequest, context: Context
    ) -> pb.OrderHistoryResponse:
        """Show past orders."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            check.page(request.page)
        visit = self._of_customer("history", context, customer)
        if visit.elsewhere:
            return await self._gate.forward(visit, "OrderHistory", request)  # type: ignore[no-any-return]
        return await self._journeys.history(request)

    async def OrderStatus(  # noqa: N802
        self, request: pb.OrderStatusRequest, context: Context
    ) -> AsyncIterator[pb.OrderStatusResponse]:
        """Follow an order."""
        with Check() as check:
            order = check.public_id("order_id", request.order_id)
        visit = self._gate.visit("order status", context, home=order.region)
        if visit.elsewhere:
            answers = self._gate.forward_stream(visit, "OrderStatus", request)
        else:
            answers = self._journeys.status(order)
        async for answer in answers:
            yield answer

    def _of_customer(self, journey: str, context: Context, customer: PublicId) -> Visit:
        return self._gate.visit(
            journey, context, customer=customer, home=customer.region
        )
