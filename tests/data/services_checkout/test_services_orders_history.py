"""What customers see of their orders, over the wire and from the real tables."""

import grpc
import pytest

from cockroach.ids import PublicId, new_id
from protos.shop.v1 import common_pb2, orders_pb2

PROFILES = pytest.mark.parametrize("profile", ["sick", "cured"])


@pytest.mark.parametrize(
    ("gateways", "schema"),
    [
        ("home_region", "local"),
        ("home_region", "naive"),
        ("round_robin_all", "local"),
        ("round_robin_all", "naive"),
    ],
)
@pytest.mark.parametrize("view", ["FULL", "SUMMARY"])
async def test_history_is_the_same_over_both_schemas(
    open_shop, tables, gateways, schema, view
):
    """Pages follow each other newest first, whichever join and gateway made them.

    A summary says what an order comes to, and leaves its lines out.
    """
    busiest = tables().one(
        "select customer_id from orders where crdb_region = 'eu' "
        "group by 1 order by count(*) desc limit 1"
    )
    customer = PublicId("eu", busiest)
    expected = [
        (f"eu-{row['id']}", row["total_minor"])
        for row in tables().rows(
            "select id, total_minor from orders "
            "where crdb_region = 'eu' and customer_id = %s "
            "order by created_at desc, id desc",
            busiest,
        )
    ]
    seen, lines, token = [], [], ""
    async with open_shop(
        "cured",
        services=("orders",),
        gateway_choice=gateways,
        query_schema=schema,
        fallbacks=False,
        data_breakers=False,
    ) as shop:
        while True:
            reply = await shop.orders().ListOrders(
                orders_pb2.ListOrdersRequest(
                    customer_id=str(customer),
                    page=common_pb2.PageRequest(page_size=3, page_token=token),
                    view=orders_pb2.OrderView.Value(f"ORDER_VIEW_{view}"),
                )
            )
            seen += [
                (order.order_id, order.total.minor_units) for order in reply.orders
            ]
            lines += [bool(order.lines) for order in reply.orders]
            token = reply.next_page_token
            if not token:
                break

    assert len(expected) > 3
    assert expected == seen
    assert {view == "FULL"} == set(lines)


@PROFILES
async def test_orders_are_found_one_by_one_and_together(
    open_shop, product, checkout, refused, profile
):
    """A batch gives what single calls give and names what is missing."""
    unknown = str(new_id("eu"))
    async with open_shop(profile) as shop:
        orders = shop.orders()
        placed = [await orders.PlaceOrder(checkout(product(5))) for _ in range(2)]
        ids = [one.order.order_id for one in placed]
        single = [
            (await orders.GetOrder(orders_pb2.GetOrderRequest(order_id=one))).order
            for one in ids
        ]
        batch = await orders.BatchGetOrders(
            orders_pb2.BatchGetOrdersRequest(order_ids=[ids[1], unknown, ids[0]])
        )
        nothing = await refused(
            orders.GetOrder(orders_pb2.GetOrderRequest(order_id=unknown))
        )

    assert [one.order for one in placed] == single
    assert [single[1], single[0]] == list(batch.orders)
    assert [unknown] == list(batch.missing)
    assert ("NOT_FOUND", "UNKNOWN_ORDER") == nothing[:2]


async def test_bad_pages_and_ids_are_refused(open_shop, refused):
    """A malformed id, size, token or view is INVALID_ARGUMENT and names its field."""
    async with open_shop("cured", services=("orders",)) as shop:
        orders = shop.orders()
        answer = await refused(
            orders.ListOrders(
                orders_pb2.ListOrdersRequest(
                    customer_id="x",
                    page=common_pb2.PageRequest(page_size=101, page_token="x"),
                    view=9,
                )
            )
        )
        single = await refused(
            orders.GetOrder(orders_pb2.GetOrderRequest(order_id="eu-1"))
        )
        batch = await refused(orders.BatchGetOrders(orders_pb2.BatchGetOrdersRequest()))

    assert ["customer_id", "page.page_size", "page.page_token", "view"] == answer[3]
    assert ["order_id"] == single[3]
    assert ["order_ids"] == batch[3]


async def test_a_watched_order_is_told_until_it_is_final(
    open_shop, tables, product, checkout
):
    """The stream gives the state now, every change, and ends with the final one."""
    async with open_shop("cured") as shop:
        await shop.stop("payments")
        reply = await shop.orders().PlaceOrder(checkout(product(5)))
        stream = shop.orders().WatchOrder(
            orders_pb2.WatchOrderRequest(order_id=reply.order.order_id)
        )
        states = [(await stream.read()).order.state]
        await shop.start("payments")
        while (change := await stream.read()) is not grpc.aio.EOF:
            states.append(change.order.state)

    assert common_pb2.Degraded.KIND_PAYMENT_PENDING == reply.degraded.kind
    assert [
        orders_pb2.ORDER_STATE_ACCEPTED,
        orders_pb2.ORDER_STATE_CONFIRMED,
    ] == states


async def test_a_stream_ends_when_its_process_leaves(open_shop, product, checkout):
    """A watcher of a draining process is told to watch again."""
    async with open_shop("cured") as shop:
        await shop.stop("payments")
        reply = await shop.orders().PlaceOrder(checkout(product(5)))
        stream = shop.orders().WatchOrder(
            orders_pb2.WatchOrderRequest(order_id=reply.order.order_id)
        )
        await stream.read()
        shop.running("orders").process.runtime.draining.set()
        code = await stream.code()

    assert "UNAVAILABLE" == code.name
