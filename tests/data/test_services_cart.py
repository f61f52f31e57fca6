"""Carts over the wire, on a real database."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cockroach.embedded import EmbeddedCluster
from cockroach.ids import customer_id
from lab import profiles
from protos.shop.v1 import cart_pb2 as pb
from protos.shop.v1 import cart_pb2_grpc, common_pb2
from services.runtime.testing import Running, environment, serving

# Carts of their own for every test: these customers are nobody else's.
_customers = itertools.count(201)


@pytest.fixture(params=["cured", "sick"])
def profile(request):
    return request.param


@pytest.fixture
async def cart(
    cluster: EmbeddedCluster, tmp_path: Path, profile: str
) -> AsyncIterator[Running]:
    environ = environment(
        "cart",
        tmp_path,
        policies=profiles.values(profiles.cures_of(profile)),
        database=cluster.target("eu"),
    )
    async with serving(environ) as running:
        yield running


@pytest.fixture
def stub(cart: Running):
    return cart_pb2_grpc.CartServiceStub(cart.channel)


@pytest.fixture
def customer() -> str:
    return str(customer_id("eu", next(_customers)))


@pytest.fixture
def rows(cluster: EmbeddedCluster, customer: str):
    """Count what is written of the test's customer: items and keys."""

    def count() -> tuple[int, int]:
        uuid = customer.partition("-")[2]
        with psycopg.connect(cluster.admin_dsn("eu")) as session:
            return tuple(
                session.execute(
                    f"select count(*) from {table} "
                    "where crdb_region = 'eu' and customer_id = %s",
                    (uuid,),
                ).fetchone()[0]
                for table in ("cart_items", "cart_keys")
            )

    return count


def add(customer, key, *lines):
    return pb.BatchAddItemsRequest(
        customer_id=customer,
        idempotency_key=key,
        items=[common_pb2.LineItem(product_id=p, quantity=n) for p, n in lines],
    )


def lines(cart: pb.Cart) -> list[tuple[str, int]]:
    return [(item.product_id, item.quantity) for item in cart.items]


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for part in rpc_status.from_call(caught.value).details:
        for message in (info, bad):
            if part.Is(message.DESCRIPTOR):
                part.Unpack(message)
    fields = [one.field for one in bad.field_violations]
    return caught.value.code().name, info.reason, fields


async def test_what_is_added_is_there(stub, customer, rows):
    """Additions of one and of several products add up, new and known alike."""
    await stub.BatchAddItems(add(customer, "first-key", ("P0002", 2), ("P0001", 1)))
    added = await stub.AddItem(
        pb.AddItemRequest(
            customer_id=customer,
            item=common_pb2.LineItem(product_id="P0002", quantity=3),
            idempotency_key="second-key",
        )
    )
    await stub.BatchAddItems(add(customer, "third-key", ("P0001", 1), ("P0003", 1)))
    found = await stub.GetCart(pb.GetCartRequest(customer_id=customer))

    assert lines(added.cart) == [("P0001", 1), ("P0002", 5)]
    assert lines(found.cart) == [("P0001", 2), ("P0002", 5), ("P0003", 1)]
    assert rows() == (3, 3)


async def test_a_repeat_changes_nothing_and_answers_alike(stub, customer, rows):
    """The same key with the same body is the same addition, also at once."""
    request = add(customer, "once-only", ("P0001", 4))
    replies = await asyncio.gather(*(stub.BatchAddItems(request) for _ in range(3)))
    again = await stub.BatchAddItems(request)

    assert {(("P0001", 4),)} == {tuple(lines(one.cart)) for one in [*replies, again]}
    assert rows() == (1, 1)


async def test_additions_at_once_are_all_kept(stub, customer):
    """Concurrent additions to one cart lose nothing to each other."""
    await asyncio.gather(
        *(
            stub.BatchAddItems(add(customer, f"at-once-{n}", ("P0001", 1)))
            for n in range(4)
        )
    )
    found = await stub.GetCart(pb.GetCartRequest(customer_id=customer))

    assert lines(found.cart) == [("P0001", 4)]


async def test_a_cleared_cart_stays_filled_by_what_came_later(stub, customer):
    """Repeating a clear does not empty what was added after it."""
    clear = pb.ClearCartRequest(customer_id=customer, idempotency_key="clear-once")
    await stub.BatchAddItems(add(customer, "before-it", ("P0001", 1)))
    await stub.ClearCart(clear)
    await stub.BatchAddItems(add(customer, "after-it", ("P0002", 1)))
    await stub.ClearCart(clear)
    found = await stub.GetCart(pb.GetCartRequest(customer_id=customer))

    assert lines(found.cart) == [("P0002", 1)]


async def test_bad_additions_are_told_apart_and_write_nothing(
    stub, customer, rows, profile
):
    """Each wrong request has its own status, and leaves no item and no key behind."""
    nobody = "eu-00000000-0000-4000-8000-999999999999"
    cases = [
        (
            add("eu-1", "short", ("P0001", -1)),
            (
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
                ["customer_id", "items[0].quantity", "idempotency_key"],
            ),
        ),
        (
            add(customer, "", ("P0001", 1)),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["idempotency_key"]),
        ),
        (
            add(customer, "no-items-at-all"),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["items"]),
        ),
        (
            add(customer, "unknown-product", ("P0001", 1), ("P9999", 1)),
            ("NOT_FOUND", "UNKNOWN_PRODUCT", []),
        ),
        (
            add(nobody, "unknown-customer", ("P0001", 1)),
            ("NOT_FOUND", "UNKNOWN_CUSTOMER", []),
        ),
    ]
    if profile == "cured":
        us = customer.replace("eu", "us", 1)
        cases.append(
            (
                add(us, "wrong-region", ("P0001", 1)),
                ("FAILED_PRECONDITION", "WRONG_REGION", []),
            )
        )
    for request, expected in cases:
        assert expected == await refused(stub.BatchAddItems(request))
    assert rows() == (0, 0)


async def test_a_key_with_another_body_is_refused(stub, customer, rows):
    """A key stands for one request: another one under it is ALREADY_EXISTS."""
    await stub.BatchAddItems(add(customer, "one-key-one-body", ("P0001", 1)))
    other = stub.BatchAddItems(add(customer, "one-key-one-body", ("P0001", 2)))

    assert await refused(other) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED", [])
    assert rows() == (1, 1)


async def test_a_cart_too_full_is_refused_whole(stub, customer, rows):
    """What does not fit is not added in part, and its key is not spent."""
    await stub.BatchAddItems(add(customer, "nearly-full", ("P0001", 999)))
    more = stub.BatchAddItems(add(customer, "too-much-now", ("P0002", 1), ("P0001", 1)))

    assert await refused(more) == ("FAILED_PRECONDITION", "CART_FULL", [])
    assert rows() == (1, 1)


async def test_an_unknown_customer_has_no_cart(stub):
    """Nobody's cart is NOT_FOUND, an empty one is not."""
    nobody = pb.GetCartRequest(customer_id="eu-00000000-0000-4000-8000-999999999999")

    assert await refused(stub.GetCart(nobody)) == ("NOT_FOUND", "UNKNOWN_CUSTOMER", [])


async def test_without_locality_any_regions_customer_is_served(stub, profile):
    """Sick services take whoever comes; the rows are still in the home region."""
    us = str(customer_id("us", next(_customers)))
    request = add(us, "from-far-away", ("P0001", 1))
    if profile == "cured":
        assert (await refused(stub.BatchAddItems(request)))[1] == "WRONG_REGION"
    else:
        assert lines((await stub.BatchAddItems(request)).cart) == [("P0001", 1)]
