"""Orders that their home cannot take: held elsewhere, brought home exactly once."""

from uuid import uuid4

from cockroach.ids import PublicId, customer_id, derived
from protos.shop.v1 import common_pb2, orders_pb2

REGIONS = ("eu", "us")


def order_of(request) -> PublicId:
    return PublicId("eu", derived(f"order/eu/{request.idempotency_key}"))


def states(tables, requests) -> set[str | None]:
    return {tables().state("orders", order_of(one)) for one in requests}


def held_state(tables, request) -> str | None:
    rows = tables("us").rows(
        "select state from intake_us where id = %s", order_of(request).uuid
    )
    return rows[0]["state"] if rows else None


async def test_orders_are_taken_elsewhere_and_brought_home_once(
    open_shop, tables, product, checkout, home_cut_off, until
):
    """While home is away orders are durable elsewhere; afterwards each is sold once."""
    one = product(100)
    requests = [checkout(one) for _ in range(8)]
    async with open_shop("cured", regions=REGIONS) as shop:
        with home_cut_off("eu"):
            replies = [await shop.orders().PlaceOrder(one) for one in requests]
            held = [held_state(tables, one) for one in requests]
            repeated = await shop.orders().PlaceOrder(requests[0])
            seen = await shop.orders().GetOrder(
                orders_pb2.GetOrderRequest(order_id=replies[0].order.order_id)
            )
            history = await shop.orders().ListOrders(
                orders_pb2.ListOrdersRequest(customer_id=str(customer_id("eu", 20)))
            )
            nothing_at_home = [tables().state("orders", order_of(r)) for r in requests]
        await until(
            lambda: all(held_state(tables, one) == "drained" for one in requests)
        )
        again = await shop.orders().PlaceOrder(requests[0])

    assert {"INTAKE_US"} == {reply.degraded.reason for reply in replies}
    assert {common_pb2.Degraded.KIND_PAYMENT_PENDING} == {
        reply.degraded.kind for reply in replies
    }
    assert {orders_pb2.ORDER_STATE_ACCEPTED} == {reply.order.state for reply in replies}
    assert [str(order_of(r)) for r in requests] == [r.order.order_id for r in replies]
    assert ["held"] * 8 == held
    assert [None] * 8 == nothing_at_home
    assert replies[0].order == repeated.order
    assert replies[0].order.order_id == seen.order.order_id
    assert common_pb2.Degraded.KIND_FALLBACK == seen.degraded.kind
    assert common_pb2.Degraded.KIND_FALLBACK == history.degraded.kind
    assert {r.order.order_id for r in replies} <= {o.order_id for o in history.orders}
    assert orders_pb2.ORDER_STATE_CONFIRMED == again.order.state
    assert replies[0].order.total == again.order.total
    assert 92 == tables().stock(one)
    for request in requests:
        assert "confirmed" == tables().state("orders", order_of(request))
        assert (2, 0) == tables().money(order_of(request))[:2]


async def test_an_order_whose_stock_is_gone_by_then_is_rejected(
    open_shop, tables, product, checkout, home_cut_off, until
):
    """A held order that cannot be filled at home ends rejected, never oversold."""
    last = product(1)
    requests = [checkout(last) for _ in range(3)]
    async with open_shop("cured", regions=REGIONS) as shop:
        with home_cut_off("eu"):
            for request in requests:
                await shop.orders().PlaceOrder(request)
        await until(lambda: states(tables, requests) <= {"confirmed", "rejected"})
        await until(lambda: all(held_state(tables, one) != "held" for one in requests))
        told = [
            await shop.orders().GetOrder(
                orders_pb2.GetOrderRequest(order_id=str(order_of(one)))
            )
            for one in requests
        ]
    final = sorted(tables().state("orders", order_of(one)) for one in requests)

    assert ["confirmed", "rejected", "rejected"] == final
    assert 0 == tables().stock(last)
    rejected = [one.order for one in told if one.order.rejection]
    assert ["OUT_OF_STOCK"] * 2 == [one.rejection for one in rejected]
    assert ["drained", "rejected", "rejected"] == sorted(
        held_state(tables, one) for one in requests
    )


async def test_an_intake_delivers_again_without_doubling(
    open_shop, tables, product, checkout, home_cut_off, until
):
    """A delivery whose end was not written down is repeated, and changes nothing."""
    one = product(100)
    request = checkout(one)
    async with open_shop("cured", regions=REGIONS) as shop:
        with home_cut_off("eu"):
            await shop.orders().PlaceOrder(request)
        await until(lambda: held_state(tables, request) == "drained")
        tables("us").rows(
            "update intake_us set state = 'held' where id = %s returning id",
            order_of(request).uuid,
        )
        await until(lambda: held_state(tables, request) == "drained")
        await until(lambda: {"confirmed"} == states(tables, [request]))

    assert (2, 0) == tables().money(order_of(request))[:2]
    assert 99 == tables().stock(one)


async def test_the_same_key_at_home_and_elsewhere_is_one_order(
    open_shop, tables, product, checkout, refused, home_cut_off, until
):
    """A key used before the outage gives the same order after it, or is refused."""
    one = product(100)
    key = f"test-{uuid4()}"
    async with open_shop("cured", regions=REGIONS) as shop:
        first = await shop.orders().PlaceOrder(checkout(one, key=key))
        with home_cut_off("eu"):
            taken = await shop.orders().PlaceOrder(checkout(one, key=key))
            other = await refused(
                shop.orders().PlaceOrder(checkout(one, key=key, quantity=2))
            )
        await until(lambda: held_state(tables, checkout(one, key=key)) == "drained")

    assert first.order.order_id == taken.order.order_id
    assert ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED") == other[:2]
    assert 99 == tables().stock(one)


async def test_a_slow_home_answers_once_and_is_then_left_alone(
    open_shop, tables, product, checkout, home_slow, until, patience
):
    """While home is slow every order is accepted soon; all are confirmed afterwards."""
    patience(0.25)
    one = product(100)
    requests = [checkout(one) for _ in range(12)]
    async with open_shop("cured", regions=REGIONS, data_slow_ms=100.0) as shop:
        await shop.orders().PlaceOrder(checkout(one))
        with home_slow("eu"):
            replies = [await shop.orders().PlaceOrder(one) for one in requests]
        await until(lambda: {"confirmed"} == states(tables, requests))
    reasons = [reply.degraded.reason for reply in replies]

    assert "HOME_SLOW" == reasons[0]
    assert "INTAKE_US" == reasons[-1]
    assert 2 <= reasons.count("INTAKE_US")
    assert 87 == tables().stock(one)
    for request in requests:
        assert (2, 0) == tables().money(order_of(request))[:2]


async def test_without_fallbacks_an_outage_is_an_error_and_nothing_is_written(
    open_shop, tables, product, checkout, refused, home_cut_off, until
):
    """Where there is no intake the caller is told, with when to ask again."""
    request = checkout(product(10))
    async with open_shop("cured", regions=REGIONS, fallbacks=False) as shop:
        with home_cut_off("eu"):
            answer = await refused(shop.orders().PlaceOrder(request))

    assert "UNAVAILABLE" == answer[0]
    assert 0 == tables().anything(request.idempotency_key)
    assert 0 == tables("us").anything(request.idempotency_key, "us")


async def test_an_intake_refuses_what_it_must_not_take(
    open_shop, tables, product, checkout, refused
):
    """Own orders, unknown products and forged deliveries leave nothing behind."""
    one = product(10)
    request = checkout(one)
    forged = checkout(one)
    forged.order_id = str(order_of(request))
    price = common_pb2.Money(currency="EUR", minor_units=1)
    forged.promised.append(
        orders_pb2.OrderLine(product_id=one, quantity=5, unit_price=price)
    )
    async with open_shop("cured") as shop:
        orders = shop.orders()
        accept = orders_pb2.AcceptIntakeRequest
        foreign = checkout("P9999", customer=str(customer_id("us", 20)))
        answers = [
            await refused(orders.AcceptIntake(accept(order=request))),
            await refused(orders.AcceptIntake(accept(order=foreign))),
            await refused(orders.PlaceOrder(forged)),
            await refused(
                orders.GetIntake(
                    orders_pb2.GetIntakeRequest(order_id=str(order_of(request)))
                )
            ),
        ]

    assert [
        ("FAILED_PRECONDITION", "WRONG_REGION", []),
        ("NOT_FOUND", "UNKNOWN_PRODUCT", []),
        ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["order_id", "promised"]),
        ("NOT_FOUND", "UNKNOWN_ORDER", []),
    ] == [(one[0], one[1], one[3]) for one in answers]
    for key in (request, foreign, forged):
        assert 0 == tables().anything(key.idempotency_key)
