"""Stock over the wire, on a real database, in both shapes of SQL."""

import asyncio

import pytest

from cockroach.ids import new_id
from protos.shop.v1 import common_pb2
from protos.shop.v1 import inventory_pb2 as pb

PROFILES = pytest.mark.parametrize("profile", ["sick", "cured"])
ONLY = ("inventory",)
KEY = "test-inventory"


def reserve(order, *lines):
    return pb.BatchReserveRequest(
        order_id=str(order),
        items=[common_pb2.LineItem(product_id=p, quantity=q) for p, q in lines],
        idempotency_key=KEY,
    )


def commit(order):
    return pb.CommitReservationRequest(order_id=str(order), idempotency_key=KEY)


def release(order):
    return pb.ReleaseReservationRequest(order_id=str(order), idempotency_key=KEY)


@PROFILES
async def test_all_lines_or_none_and_once(open_shop, tables, product, refused, profile):
    """An order takes all its lines once; one that is short takes nothing."""
    one, two = product(10), product(3)
    order, short = new_id("eu"), new_id("eu")
    async with open_shop(profile, services=ONLY) as shop:
        for _ in range(3):
            await shop.inventory.BatchReserve(reserve(order, (one, 2), (two, 3)))
        answer = await refused(
            shop.inventory.BatchReserve(reserve(short, (one, 1), (two, 1)))
        )
        unknown = await refused(
            shop.inventory.BatchReserve(reserve(short, (one, 1), ("P9999", 1)))
        )

    assert ("FAILED_PRECONDITION", "OUT_OF_STOCK", two) == (
        *answer[:2],
        answer[2]["products"],
    )
    assert ("OUT_OF_STOCK", "P9999") == (unknown[1], unknown[2]["products"])
    assert (8, 0) == (tables().stock(one), tables().stock(two))
    assert tables().state("reservations", short) is None


@PROFILES
async def test_a_release_gives_back_once_and_forbids_what_comes_late(
    open_shop, tables, product, refused, profile
):
    """Released, sold or never taken: afterwards the stock is whole and stays so."""
    one = product(10)
    taken, sold, never = (new_id("eu") for _ in range(3))
    async with open_shop(profile, services=ONLY) as shop:
        inventory = shop.inventory
        await inventory.BatchReserve(reserve(taken, (one, 2)))
        await inventory.BatchReserve(reserve(sold, (one, 3)))
        await inventory.CommitReservation(commit(sold))
        await inventory.CommitReservation(commit(sold))
        for order in (taken, sold, never) * 2:
            await inventory.ReleaseReservation(release(order))
        for order in (taken, sold, never):
            late = await refused(inventory.BatchReserve(reserve(order, (one, 1))))
            closed = await refused(inventory.CommitReservation(commit(order)))
            assert "RESERVATION_CLOSED" == late[1] == closed[1]

    assert 10 == tables().stock(one)


@PROFILES
async def test_stock_is_never_oversold(open_shop, tables, product, profile):
    """However many ask at once, what is taken is at most what was there."""
    one = product(3)
    async with open_shop(profile, services=ONLY) as shop:
        answers = await asyncio.gather(
            *(
                shop.inventory.BatchReserve(reserve(new_id("eu"), (one, 1)))
                for _ in range(8)
            ),
            return_exceptions=True,
        )
    taken = [one for one in answers if isinstance(one, pb.BatchReserveResponse)]

    assert 3 == len(taken)
    assert 0 == tables().stock(one)


async def test_single_reservations_add_up_to_one(open_shop, tables, product):
    """Items reserved one by one, repeated, and finished in a batch are one order's."""
    one, two = product(10), product(10)
    order = new_id("eu")
    async with open_shop("cured", services=ONLY) as shop:
        item = common_pb2.LineItem(product_id=one, quantity=2)
        single = pb.ReserveRequest(order_id=str(order), item=item, idempotency_key=KEY)
        for _ in range(2):
            await shop.inventory.Reserve(single)
        await shop.inventory.BatchReserve(reserve(order, (one, 2), (two, 1)))

    assert (8, 9) == (tables().stock(one), tables().stock(two))


@PROFILES
async def test_stock_is_told_for_one_and_for_many(open_shop, product, refused, profile):
    """Single and batched questions agree; an unknown product is named."""
    one, two = product(7), product(0)
    async with open_shop(profile, services=ONLY) as shop:
        single = await shop.inventory.GetStock(pb.GetStockRequest(product_id=one))
        batch = await shop.inventory.BatchGetStock(
            pb.BatchGetStockRequest(product_ids=[two, one])
        )
        unknown = await refused(
            shop.inventory.BatchGetStock(
                pb.BatchGetStockRequest(product_ids=[one, "P9999"])
            )
        )
        bad = await refused(
            shop.inventory.BatchReserve(
                pb.BatchReserveRequest(
                    order_id="eu-1",
                    items=[common_pb2.LineItem(product_id="?", quantity=0)],
                )
            )
        )

    assert pb.Stock(product_id=one, available=7) == single.stock
    assert [(two, 0), (one, 7)] == [(s.product_id, s.available) for s in batch.stock]
    assert ("NOT_FOUND", "UNKNOWN_PRODUCT") == unknown[:2]
    assert [
        "order_id",
        "items[0].product_id",
        "items[0].quantity",
        "idempotency_key",
    ] == bad[3]


async def test_stock_of_another_region_is_reached_through_any_gateway(
    open_shop, tables, product
):
    """With gateways of all regions an order's stock is still its home's."""
    one = product(10, "us")
    order = new_id("us")
    async with open_shop(
        "cured", services=ONLY, gateway_choice="round_robin_all"
    ) as shop:
        for _ in range(6):
            await shop.inventory.BatchReserve(reserve(order, (one, 2)))
            await shop.inventory.CommitReservation(commit(order))

    assert 8 == tables("us").stock(one, "us")
    assert "committed" == tables("us").state("reservations", order)


async def test_orders_that_go_together_are_refused_apart(
    open_shop, tables, product, refused
):
    """Of many at once, one is repeated, one wants too much, and the others have all."""
    one, two = product(60), product(2)
    orders = [new_id("eu") for _ in range(12)]
    greedy = new_id("eu")
    async with open_shop("cured", services=ONLY) as shop:
        answers = await asyncio.gather(
            *(shop.inventory.BatchReserve(reserve(one_, (one, 2))) for one_ in orders),
            refused(shop.inventory.BatchReserve(reserve(greedy, (one, 1), (two, 9)))),
            *(shop.inventory.BatchReserve(reserve(one_, (one, 2))) for one_ in orders),
        )

    assert ("FAILED_PRECONDITION", "OUT_OF_STOCK") == answers[len(orders)][:2]
    assert (60 - 2 * len(orders), 2) == (tables().stock(one), tables().stock(two))
    assert {"reserved"} == {tables().state("reservations", one_) for one_ in orders}
    assert tables().state("reservations", greedy) is None


async def test_a_reservation_begun_line_by_line_is_finished_together(
    open_shop, tables, product
):
    """What a single call took before is not taken twice when the whole order comes."""
    one, two = product(50), product(50)
    orders = [new_id("eu") for _ in range(6)]
    async with open_shop("cured", services=ONLY) as shop:
        for order in orders:
            await shop.inventory.Reserve(
                pb.ReserveRequest(
                    order_id=str(order),
                    item=common_pb2.LineItem(product_id=one, quantity=1),
                    idempotency_key=KEY,
                )
            )
        await asyncio.gather(
            *(
                shop.inventory.BatchReserve(reserve(order, (one, 1), (two, 1)))
                for order in orders
            )
        )

    assert (44, 44) == (tables().stock(one), tables().stock(two))
