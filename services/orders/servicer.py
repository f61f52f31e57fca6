"""Orders on the wire: messages in, messages out."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc

from cockroach.ids import PublicId
from protos.shop.v1 import common_pb2, orders_pb2_grpc
from protos.shop.v1 import orders_pb2 as pb
from services.orders.domain import Request, Wish
from services.orders.handlers import CheckoutHandlers, Placement
from services.orders.history import HistoryHandlers
from services.orders.intake import Intake
from services.orders.messages import line_values, order_message
from services.orders.store import NEWEST, Cursor
from services.runtime.errors import not_found, precondition
from services.runtime.messages import stale
from services.runtime.policy import PolicySet
from services.runtime.validate import MAX_LINES, Check, at_home

Context = grpc.aio.ServicerContext[Any, Any]

MAX_TOKEN = 128


class OrdersServicer(orders_pb2_grpc.OrdersServicer):
    """The Orders service of one region."""

    def __init__(
        self,
        checkout: CheckoutHandlers,
        history: HistoryHandlers,
        intake: Intake,
        *,
        region: str,
        policies: Callable[[], PolicySet],
    ) -> None:
        self._checkout = checkout
        self._history = history
        self._intake = intake
        self._region = region
        self._policies = policies

    async def PlaceOrder(  # noqa: N802
        self, request: pb.PlaceOrderRequest, _: Context
    ) -> pb.PlaceOrderResponse:
        """Place an order, or go on with one whose key is known."""
        asked = _request(request)
        self._ours(asked.customer)
        if asked.promised:
            return _placed(await self._checkout.bring_home(asked))
        return _placed(await self._checkout.place(asked))

    async def GetOrder(  # noqa: N802
        self, request: pb.GetOrderRequest, _: Context
    ) -> pb.GetOrderResponse:
        """Return one order."""
        order, fallback = await self._history.order(self._order(request.order_id))
        return pb.GetOrderResponse(
            order=order_message(order), degraded=_fallback(fallback)
        )

    async def BatchGetOrders(  # noqa: N802
        self, request: pb.BatchGetOrdersRequest, _: Context
    ) -> pb.BatchGetOrdersResponse:
        """Return several orders."""
        with Check() as check:
            if not 1 <= len(request.order_ids) <= MAX_LINES:
                check.fail("order_ids", f"must be 1 to {MAX_LINES} orders")
            ids = [
                check.public_id(f"order_ids[{number}]", text)
                for number, text in enumerate(request.order_ids)
            ]
        found = await self._history.orders([self._ours(order) for order in ids])
        there = {order.id for order in found}
        return pb.BatchGetOrdersResponse(
            orders=[order_message(order) for order in found],
            missing=[str(order) for order in ids if order not in there],
        )

    async def ListOrders(  # noqa: N802
        self, request: pb.ListOrdersRequest, _: Context
    ) -> pb.ListOrdersResponse:
        """Return a page of a customer's orders, newest first, in the view asked for."""
        cursor = NEWEST
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            size, token = check.page(request.page)
            try:
                cursor = Cursor.parse(token[:MAX_TOKEN])
            except ValueError:
                check.fail("page.page_token", "must be what the last reply gave")
            if request.view not in pb.OrderView.values():
                check.fail("view", "must be SUMMARY or FULL")
        lines = request.view != pb.ORDER_VIEW_SUMMARY
        page = await self._history.page(self._ours(customer), cursor, size, lines=lines)
        return pb.ListOrdersResponse(
            orders=[order_message(order, lines=lines) for order in page.orders],
            next_page_token=page.next_token,
            degraded=_fallback(page.fallback)
            if page.age_s is None
            else stale(page.age_s, page.fallback),
        )

    async def WatchOrder(  # noqa: N802
        self, request: pb.WatchOrderRequest, _: Context
    ) -> AsyncIterator[pb.WatchOrderResponse]:
        """Stream an order's state until it is final."""
        async for order in self._history.watch(self._order(request.order_id)):
            yield pb.WatchOrderResponse(order=order_message(order))

    async def AcceptIntake(  # noqa: N802
        self, request: pb.AcceptIntakeRequest, _: Context
    ) -> pb.AcceptIntakeResponse:
        """Take an order for a region that cannot."""
        held = await self._intake.accept(_request(request.order))
        return pb.AcceptIntakeResponse(order=order_message(held.order))

    async def GetIntake(  # noqa: N802
        self, request: pb.GetIntakeRequest, _: Context
    ) -> pb.GetIntakeResponse:
        """Return an order that this region's intake holds."""
        with Check() as check:
            order = check.public_id("order_id", request.order_id)
        held = await self._intake.find(order)
        if held is None:
            raise not_found("UNKNOWN_ORDER", f"no order {order} in this intake")
        return pb.GetIntakeResponse(order=order_message(held.order))

    def _order(self, text: str) -> PublicId:
        with Check() as check:
            order = check.public_id("order_id", text)
        return self._ours(order)

    def _ours(self, one: PublicId) -> PublicId:
        return at_home(one, self._region, self._policies())


def _request(message: pb.PlaceOrderRequest) -> Request:
    with Check() as check:
        customer = check.public_id("customer_id", message.customer_id)
        # None at all is no mistake of form; it has a refusal of its own below.
        wishes = check.lines("items", message.items, least=0)
        key = check.idempotency_key(message.idempotency_key)
        check.card_token(message.card_token)
        request = Request(
            customer=customer,
            wishes=tuple(Wish(*wish) for wish in wishes),
            card_token=message.card_token,
            key=key,
        )
        if not check.violations and (message.order_id or message.promised):
            request = _promised(check, message, request)
    if not request.wishes:
        raise precondition("CART_EMPTY", "an order needs at least one item")
    return request


def _promised(check: Check, message: pb.PlaceOrderRequest, request: Request) -> Request:
    if message.order_id != str(request.order_id):
        check.fail("order_id", "must follow from the customer's home and the key")
    lines = line_values(message.promised)
    told = {line.product_id: line.quantity for line in lines}
    if told != {wish.product_id: wish.quantity for wish in request.wishes}:
        check.fail("promised", "must be the items with their prices")
    if any(line.unit_price_minor <= 0 for line in lines):
        check.fail("promised", "must have prices above 0")
    currencies = {line.unit_price.currency for line in message.promised}
    if len(currencies) != 1:
        check.fail("promised", "must have prices in one currency")
        return request
    return replace(request, promised=lines, currency=currencies.pop())


def _placed(placement: Placement) -> pb.PlaceOrderResponse:
    degraded = None
    if placement.pending:
        degraded = common_pb2.Degraded(
            kind=common_pb2.Degraded.KIND_PAYMENT_PENDING, reason=placement.pending
        )
    return pb.PlaceOrderResponse(
        order=order_message(placement.order), degraded=degraded
    )


def _fallback(reason: str) -> common_pb2.Degraded | None:
    if not reason:
        return None
    return common_pb2.Degraded(kind=common_pb2.Degraded.KIND_FALLBACK, reason=reason)
