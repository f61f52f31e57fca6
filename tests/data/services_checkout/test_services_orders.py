"""Checkout over the wire: real services, real gRPC, a real database."""

import asyncio
from uuid import uuid4

import pytest

from cockroach.ids import PublicId, customer_id
from protos.shop.v1 import common_pb2, orders_pb2

PROFILES = pytest.mark.parametrize("profile", ["sick", "cured"])


@PROFILES
async def test_a_checkout_is_confirmed_and_booked(
    open_shop, tables, product, checkout, profile
):
    """A confirmed order is paid once, its stock is gone, its ledger sums to zero."""
    first, second = product(10), product(10)
    async with open_shop(profile) as shop:
        reply = await shop.orders().PlaceOrder(checkout(first, second, quantity=2))
    order = PublicId.parse(reply.order.order_id)

    assert orders_pb2.ORDER_STATE_CONFIRMED == reply.order.state
    assert not reply.HasField("degraded")
    assert [first, second] == [line.product_id for line in reply.order.lines]
    assert reply.order.total.minor_units == sum(
        line.quantity * line.unit_price.minor_units for line in reply.order.lines
    )
    assert "confirmed" == tables().state("orders", order)
    assert "committed" == tables().state("reservations", order)
    assert "captured" == tables().state("payments", order)
    assert (2, 0, reply.order.total.minor_units) == tables().money(order)
    assert (8, 8) == (tables().stock(first), tables().stock(second))


@PROFILES
async def test_out_of_stock_rejects_the_order_and_takes_nothing(
    open_shop, tables, product, checkout, refused, profile
):
    """Too little of one product: the order is rejected, no line of it is taken."""
    plenty, scarce = product(10), product(1)
    request = checkout(plenty, scarce, quantity=2)
    async with open_shop(profile) as shop:
        first = await refused(shop.orders().PlaceOrder(request))
        again = await refused(shop.orders().PlaceOrder(request))
    order = PublicId.parse(first[2]["order_id"])

    assert ("FAILED_PRECONDITION", "OUT_OF_STOCK") == first[:2]
    assert scarce == first[2]["products"]
    assert first == again
    assert "rejected" == tables().state("orders", order)
    assert "released" == tables().state("reservations", order)
    assert "refunded" == tables().state("payments", order)
    assert (0, 0, 0) == tables().money(order)
    assert (10, 1) == (tables().stock(plenty), tables().stock(scarce))


@PROFILES
@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_declined", "DO_NOT_HONOUR"),
        ("tok_insufficient_funds", "INSUFFICIENT_FUNDS"),
    ],
)
async def test_a_declined_card_gives_the_stock_back(
    open_shop, tables, product, checkout, refused, profile, token, reason
):
    """A declined card: the order is rejected, nothing is booked, stock as before."""
    one = product(10)
    request = checkout(one, token=token)
    async with open_shop(profile) as shop:
        first = await refused(shop.orders().PlaceOrder(request))
        again = await refused(shop.orders().PlaceOrder(request))
        told = await shop.orders().GetOrder(
            orders_pb2.GetOrderRequest(order_id=first[2]["order_id"])
        )
    order = PublicId.parse(first[2]["order_id"])

    assert ("FAILED_PRECONDITION", "CARD_DECLINED") == first[:2]
    assert reason == first[2]["decline_reason"]
    assert first == again
    assert orders_pb2.ORDER_STATE_REJECTED == told.order.state
    assert "CARD_DECLINED" == told.order.rejection
    assert ("rejected", "released") == (
        tables().state("orders", order),
        tables().state("reservations", order),
    )
    assert (0, 0, 0) == tables().money(order)
    assert 10 == tables().stock(one)


@PROFILES
async def test_the_same_key_gives_the_same_order(
    open_shop, tables, product, checkout, profile
):
    """Repeating a request, in sequence or at once, buys once."""
    one = product(10)
    request = checkout(one)
    async with open_shop(profile) as shop:
        place = shop.orders().PlaceOrder
        first = await place(request)
        repeats = await asyncio.gather(*(place(request) for _ in range(4)))
    order = PublicId.parse(first.order.order_id)

    assert [first] * 4 == repeats
    assert (2, 0, first.order.total.minor_units) == tables().money(order)
    assert 9 == tables().stock(one)


@PROFILES
async def test_the_same_key_with_another_body_is_refused(
    open_shop, tables, product, checkout, refused, profile
):
    """A known key with another request is ALREADY_EXISTS; the first order stands."""
    one, other = product(10), product(10)
    key = f"test-{uuid4()}"
    async with open_shop(profile) as shop:
        first = await shop.orders().PlaceOrder(checkout(one, key=key))
        for changed in (
            checkout(one, key=key, quantity=2),
            checkout(other, key=key),
            checkout(one, key=key, token="tok_other"),
            checkout(one, key=key, customer=str(customer_id("eu", 21))),
        ):
            answer = await refused(shop.orders().PlaceOrder(changed))
            assert ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED") == answer[:2]
        stands = await shop.orders().PlaceOrder(checkout(one, key=key))

    assert first == stands
    assert (9, 10) == (tables().stock(one), tables().stock(other))


@PROFILES
async def test_the_last_one_is_sold_once(open_shop, tables, product, checkout, profile):
    """Of many checkouts at once for the last piece exactly one gets it."""
    last = product(1)
    async with open_shop(profile) as shop:
        answers = await asyncio.gather(
            *(shop.orders().PlaceOrder(checkout(last)) for _ in range(6)),
            return_exceptions=True,
        )
    won = [one for one in answers if isinstance(one, orders_pb2.PlaceOrderResponse)]

    assert 1 == len(won)
    assert 0 == tables().stock(last)
    assert 5 == sum("stock" in str(one.details()) for one in answers if one not in won)


@PROFILES
async def test_bad_input_is_refused_and_leaves_nothing(
    open_shop, tables, product, checkout, refused, profile
):
    """Each kind of bad request has its own status, and no row knows its key."""
    one = product(10)
    nobody = "eu-00000000-0000-4000-8000-999999999999"
    cases = [
        (checkout("P9999"), "NOT_FOUND", "UNKNOWN_PRODUCT", []),
        (checkout(one, customer=nobody), "NOT_FOUND", "UNKNOWN_CUSTOMER", []),
        (checkout(), "FAILED_PRECONDITION", "CART_EMPTY", []),
        (
            checkout(one, quantity=-1),
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            ["items[0].quantity"],
        ),
        (
            checkout(one, customer="eu-17", token="-"),
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            ["customer_id"],
        ),
        (
            checkout(one, customer="mars-" + nobody[3:]),
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            ["customer_id"],
        ),
        (
            orders_pb2.PlaceOrderRequest(
                customer_id=str(customer_id("eu", 20)),
                items=[common_pb2.LineItem(product_id=one, quantity=1)],
            ),
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            ["idempotency_key", "card_token"],
        ),
    ]
    async with open_shop(profile) as shop:
        for request, status, reason, fields in cases:
            answer = await refused(shop.orders().PlaceOrder(request))
            assert (status, reason, fields) == (answer[0], answer[1], answer[3])
            if request.idempotency_key:
                assert 0 == tables().anything(request.idempotency_key)

    assert 10 == tables().stock(one)


async def test_another_regions_customer_is_refused_where_routing_is_by_home(
    open_shop, tables, product, checkout, refused
):
    """With locality routing a customer of another region is WRONG_REGION."""
    stranger = str(customer_id("us", 20))
    request = checkout(product(10), customer=stranger)
    async with open_shop("cured") as shop:
        orders = shop.orders()
        answers = [
            await refused(orders.PlaceOrder(request)),
            await refused(
                orders.ListOrders(orders_pb2.ListOrdersRequest(customer_id=stranger))
            ),
            await refused(
                orders.GetOrder(orders_pb2.GetOrderRequest(order_id=stranger))
            ),
        ]

    assert {("FAILED_PRECONDITION", "WRONG_REGION")} == {one[:2] for one in answers}
    assert {"us"} == {one[2]["home_region"] for one in answers}
    assert 0 == tables("us").anything(request.idempotency_key, "us")


async def test_another_regions_customer_is_served_where_routing_is_by_address(
    open_shop, tables, product, checkout
):
    """Without locality routing the order is taken where it landed, for its home."""
    one = product(10, "us")
    request = checkout(one, customer=str(customer_id("us", 20)))
    async with open_shop("sick") as shop:
        reply = await shop.orders().PlaceOrder(request)
    order = PublicId.parse(reply.order.order_id)

    assert ("us", "confirmed") == (order.region, tables("us").state("orders", order))
    assert 9 == tables("us").stock(one, "us")
    assert (2, 0, reply.order.total.minor_units) == tables("us").money(order)


@PROFILES
async def test_a_mixture_of_both_shapes_is_one_order(
    open_shop, tables, product, checkout, profile
):
    """Any mixture of batched and single calls and statements sells the same."""
    one, two = product(10), product(10)
    other = {"sick": "batched", "cured": "per_item"}[profile]
    async with open_shop(profile) as shop:
        shop.set_policies(sql_batching=other)
        first = await shop.orders().PlaceOrder(checkout(one, two))
        shop.set_policies(
            sql_batching="batched" if other == "per_item" else "per_item",
            rpc_batching=other,
        )
        second = await shop.orders().PlaceOrder(checkout(one, two))

    for reply in (first, second):
        assert "confirmed" == tables().state(
            "orders", PublicId.parse(reply.order.order_id)
        )
    assert (8, 8) == (tables().stock(one), tables().stock(two))
