"""Orders between their values and the wire."""

from collections.abc import Iterable
from datetime import UTC, datetime

from cockroach.ids import PublicId
from protos.shop.v1 import common_pb2
from protos.shop.v1 import orders_pb2 as pb
from services.orders.domain import Order, OrderLine, OrderState, Request
from services.runtime.errors import ShopError, precondition

STATES = {
    OrderState.ACCEPTED: pb.ORDER_STATE_ACCEPTED,
    OrderState.CONFIRMED: pb.ORDER_STATE_CONFIRMED,
    OrderState.REJECTING: pb.ORDER_STATE_ACCEPTED,
    OrderState.REJECTED: pb.ORDER_STATE_REJECTED,
}

_VALUES = {
    STATES[state]: state for state in OrderState if state is not OrderState.REJECTING
}

_SAID = {
    "OUT_OF_STOCK": "not enough in stock",
    "CARD_DECLINED": "the card was declined",
}


def order_message(order: Order, *, lines: bool = True) -> pb.Order:
    """Return an order as callers see it, with or without its lines."""
    rejected = order.state is OrderState.REJECTED
    return pb.Order(
        order_id=str(order.id),
        customer_id=str(order.customer),
        state=STATES[order.state],
        lines=line_messages(order.lines if lines else (), order.currency),
        total=common_pb2.Money(currency=order.currency, minor_units=order.total_minor),
        rejection=order.rejection.partition(":")[0] if rejected else "",
        created_ms=int(order.created_at.timestamp() * 1000),
    )


def line_messages(lines: Iterable[OrderLine], currency: str) -> list[pb.OrderLine]:
    """Return priced lines as callers see them."""
    return [
        pb.OrderLine(
            product_id=line.product_id,
            quantity=line.quantity,
            unit_price=common_pb2.Money(
                currency=currency, minor_units=line.unit_price_minor
            ),
        )
        for line in lines
    ]


def request_message(request: Request) -> pb.PlaceOrderRequest:
    """Return a checkout as another region's orders is asked for it."""
    promised = request.promised
    return pb.PlaceOrderRequest(
        customer_id=str(request.customer),
        items=[
            common_pb2.LineItem(product_id=wish.product_id, quantity=wish.quantity)
            for wish in request.wishes
        ],
        card_token=request.card_token,
        idempotency_key=request.key,
        order_id=str(request.order_id) if promised else "",
        promised=line_messages(promised, request.currency),
    )


def refusal(order: Order) -> ShopError:
    """Build the answer to a checkout that was refused for a business reason."""
    reason, _, detail = order.rejection.partition(":")
    metadata = {"order_id": str(order.id)}
    if detail:
        key = "decline_reason" if reason == "CARD_DECLINED" else "products"
        metadata[key] = detail
    return precondition(
        reason or "REJECTED", _SAID.get(reason, "the order was refused"), **metadata
    )


def order_value(message: pb.Order, request: Request | None = None) -> Order:
    """Return an order that another region told of; `request` is what it was asked."""
    customer = PublicId.parse(message.customer_id)
    created = datetime.fromtimestamp(message.created_ms / 1000, UTC)
    return Order(
        id=PublicId.parse(message.order_id),
        customer_id=customer.uuid,
        key=request.key if request else "",
        fingerprint=request.fingerprint if request else "",
        state=_VALUES[message.state],
        lines=line_values(message.lines),
        currency=message.total.currency,
        rejection=message.rejection,
        card_token=request.card_token if request else "",
        created_at=created,
        updated_at=created,
    )


def line_values(messages: Iterable[pb.OrderLine]) -> tuple[OrderLine, ...]:
    """Return priced lines as values."""
    return tuple(
        OrderLine(line.product_id, line.quantity, line.unit_price.minor_units)
        for line in messages
    )
