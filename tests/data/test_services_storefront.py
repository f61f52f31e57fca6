"""The journeys over the wire: two whole regions of real services, a real database."""

import itertools
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

from cockroach.embedded import EmbeddedCluster
from cockroach.ids import customer_id
from lab import profiles
from observability import names
from protos.shop.v1 import common_pb2, orders_pb2
from protos.shop.v1 import storefront_pb2 as pb
from protos.shop.v1 import storefront_pb2_grpc as pb_grpc
from services.runtime.testing import Running, environment, serving

REGIONS = ("eu", "us")
SERVICES = (
    "acquirer",
    "catalog",
    "cart",
    "recommendations",
    "inventory",
    "payments",
    "orders",
    "storefront",
)
FINAL = (orders_pb2.ORDER_STATE_CONFIRMED, orders_pb2.ORDER_STATE_REJECTED)
Item = common_pb2.LineItem
# A busy machine is no slow home, and no recommendations that come too late.
UNHURRIED = {"data_slow_ms": 3000.0, "recommendation_timeout_s": 5.0}
# Customers and keys that no other test uses.
_numbers = itertools.count(1)


class Shop:
    """Running services by name and region; storefronts by region."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, str], tuple[AsyncExitStack, Running]] = {}

    def __getitem__(self, region: str):
        return pb_grpc.StorefrontStub(self.running["storefront", region][1].channel)

    async def stop(self, service: str, region: str) -> None:
        stack, _ = self.running.pop((service, region))
        await stack.aclose()


def free_address() -> str:
    # Below the ports that the system gives to connections, of which we open many.
    while True:
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"127.0.0.1:{port}"


@asynccontextmanager
async def opened(
    cluster: EmbeddedCluster, folder: Path, policies: Mapping[str, object]
) -> AsyncIterator[Shop]:
    everybody = [(one, region) for one in SERVICES for region in REGIONS]
    at = {who: free_address() for who in everybody}
    shop = Shop()
    try:
        for service, region in everybody:
            peers = {one: {region: [at[one, region]]} for one in SERVICES}
            for forwarded in ("orders", "storefront"):
                peers[forwarded] = {one: [at[forwarded, one]] for one in REGIONS}
            # One card network for the world.
            peers["acquirer"] = {region: [at["acquirer", "eu"]]}
            environ = environment(
                service,
                folder / f"{service}-{region}",
                policies=policies,
                region=region,
                database=None if service == "acquirer" else cluster.target(region),
                peers=peers,
                LISTEN=at[service, region],
            )
            stack = AsyncExitStack()
            running = await stack.enter_async_context(serving(environ))
            shop.running[service, region] = stack, running
        yield shop
    finally:
        for service, region in reversed(list(shop.running)):
            await shop.stop(service, region)


@pytest.fixture
async def shop(
    cluster: EmbeddedCluster, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Shop]:
    """Give a cured shop, or one of the profile that the test names."""
    profile = getattr(request, "param", "cured")
    policies = profiles.values(profiles.cures_of(profile))
    changes = UNHURRIED | {"pool_size": 1}
    async with opened(cluster, tmp_path, policies | changes) as running:
        yield running


@pytest.fixture
def fresh() -> tuple[str, str]:
    """Give a customer of eu and an idempotency key of the test's own."""
    number = next(_numbers)
    return str(customer_id("eu", 230 + number)), f"storefront-{number:04d}"


both = pytest.mark.parametrize("shop", ["cured", "sick"], indirect=True)


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


async def followed(stub, order_id: str) -> int:
    """Return the order's final state."""
    state = orders_pb2.ORDER_STATE_UNSPECIFIED
    call = stub.OrderStatus(pb.OrderStatusRequest(order_id=order_id), timeout=20)
    async for one in call:
        state = one.order.state
    return state


def checkout(customer, key, *items, card="tok_visa"):
    return pb.CheckoutRequest(
        customer_id=customer,
        items=[Item(product_id=product, quantity=n) for product, n in items],
        card_token=card,
        idempotency_key=key,
    )


def orders_of(cluster: EmbeddedCluster, key: str) -> int:
    with psycopg.connect(cluster.admin_dsn("eu")) as session:
        return session.execute(
            "select (select count(*) from orders"
            " where crdb_region = 'eu' and idem_key = %s)"
            " + (select count(*) from intake"
            " where crdb_region = 'us' and idem_key = %s)",
            (key, key),
        ).fetchone()[0]


@both
async def test_a_customers_whole_visit(shop: Shop, fresh):
    """Browse, fill a cart, check out, follow the order and find it in the history."""
    customer, key = fresh
    store = shop["eu"]
    shown = await store.Browse(pb.BrowseRequest(customer_id=customer))
    added = await store.AddToCart(
        pb.AddToCartRequest(
            customer_id=customer,
            item=Item(product_id=shown.products[0].product_id, quantity=2),
            idempotency_key=f"{key}-add",
        )
    )
    seen = await store.ViewCart(pb.ViewCartRequest(customer_id=customer))
    bought = await store.Checkout(checkout(customer, key))
    emptied = await store.ViewCart(pb.ViewCartRequest(customer_id=customer))
    state = await followed(store, bought.order.order_id)
    history = await store.OrderHistory(pb.OrderHistoryRequest(customer_id=customer))

    assert len(shown.products) == 20
    assert (shown.region, shown.routed_by) == ("eu", "home")
    assert len(shown.recommended_product_ids) == 4
    assert added.cart == seen.cart
    assert list(emptied.cart.items) == []
    assert state == orders_pb2.ORDER_STATE_CONFIRMED
    assert bought.order.total.minor_units == 2 * shown.products[0].price.minor_units
    assert history.orders[0].order_id == bought.order.order_id


@both
async def test_a_visitor_from_another_region_is_served_alike(shop: Shop, fresh):
    """Any storefront may be dialled; the order is at home either way."""
    customer, key = fresh
    bought = await shop["us"].Checkout(checkout(customer, key, ("P0002", 1)))
    state = await followed(shop["us"], bought.order.order_id)
    history = await shop["us"].OrderHistory(
        pb.OrderHistoryRequest(customer_id=customer)
    )

    assert bought.order.order_id.startswith("eu-")
    assert state in FINAL
    assert history.orders[0].order_id == bought.order.order_id


async def test_a_repeated_checkout_is_one_order(
    shop: Shop, fresh, cluster: EmbeddedCluster
):
    """The same key gives the same order, of given items and of a cart alike."""
    customer, key = fresh
    given = [
        await shop["eu"].Checkout(checkout(customer, key, ("P0003", 1)))
        for _ in range(2)
    ]
    await shop["eu"].AddToCart(
        pb.AddToCartRequest(
            customer_id=customer,
            item=Item(product_id="P0004", quantity=1),
            idempotency_key=f"{key}-add",
        )
    )
    of_cart = [
        await shop["eu"].Checkout(checkout(customer, f"{key}-cart")) for _ in range(2)
    ]

    assert len({one.order.order_id for one in given}) == 1
    assert len({one.order.order_id for one in of_cart}) == 1
    assert [line.product_id for line in of_cart[1].order.lines] == ["P0004"]
    assert orders_of(cluster, key) == orders_of(cluster, f"{key}-cart") == 1


async def test_each_refusal_has_its_own_status_and_leaves_nothing_half_done(
    shop: Shop, fresh, cluster: EmbeddedCluster
):
    """What a customer can get wrong is told apart, from either region's storefront."""
    customer, key = fresh
    nobody = "eu-00000000-0000-4000-8000-999999999999"
    one = ("P0001", 1)
    cases = [
        (
            checkout("eu-77", "short", ("P0001", -1), card=""),
            (
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
                ["customer_id", "items[0].quantity", "card_token", "idempotency_key"],
            ),
            0,
        ),
        (
            checkout(customer, "", one),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["idempotency_key"]),
            0,
        ),
        (checkout(customer, key), ("FAILED_PRECONDITION", "CART_EMPTY", []), 0),
        (
            checkout(customer, key, ("P9999", 1)),
            ("NOT_FOUND", "UNKNOWN_PRODUCT", []),
            0,
        ),
        (checkout(nobody, key, one), ("NOT_FOUND", "UNKNOWN_CUSTOMER", []), 0),
        (
            checkout(customer, f"{key}-stock", ("P0500", 1)),
            ("FAILED_PRECONDITION", "OUT_OF_STOCK", []),
            1,
        ),
        (
            checkout(customer, f"{key}-card", one, card="tok_declined"),
            ("FAILED_PRECONDITION", "CARD_DECLINED", []),
            1,
        ),
    ]
    for region in REGIONS:
        for request, expected, written in cases:
            assert expected == await refused(shop[region].Checkout(request))
            assert written == orders_of(cluster, request.idempotency_key)
    await shop["eu"].Checkout(checkout(customer, key, one))
    reused = shop["us"].Checkout(checkout(customer, key, ("P0002", 1)))

    assert await refused(reused) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED", [])


async def test_contract_prices_are_shown_to_who_has_them(shop: Shop):
    """A corporate customer's prices come from home, through any storefront."""
    firm = str(customer_id("eu", 1))
    replies = [
        await shop[region].ContractPrices(pb.ContractPricesRequest(customer_id=firm))
        for region in REGIONS
    ]

    assert replies[0] == replies[1]
    assert replies[0].contract_id == "C-eu-001"
    assert len(replies[0].prices) == 20


async def test_addresses_are_routed_by_block_country_and_default(shop: Shop):
    """The decision and its rule are told; declared blocks override countries."""
    told = {
        "198.51.100.9": ("us", "block:East Coast Corp"),
        "193.0.0.1": ("eu", "country:NL"),
        "133.1.1.1": ("asia", "country:JP"),
        "192.0.2.1": ("eu", "default"),
    }
    for address, expected in told.items():
        shown = await shop["eu"].Browse(
            pb.BrowseRequest(), metadata=[("x-client-ip", address)]
        )
        assert expected == (shown.region, shown.routed_by)


async def test_a_journey_tells_its_trace_who_came_from_where(shop: Shop):
    """The server's span names journey, address block, rule, home and segment."""
    exporter = InMemorySpanExporter()
    _, running = shop.running["storefront", "eu"]
    running.process.telemetry.provider.add_span_processor(SimpleSpanProcessor(exporter))
    await shop["eu"].ViewCart(
        pb.ViewCartRequest(customer_id=str(customer_id("eu", 1))),
        metadata=[("x-client-ip", "203.0.113.7")],
    )
    (span,) = [
        one
        for one in exporter.get_finished_spans()
        if one.name == "shop.v1.Storefront/ViewCart"
    ]
    attempts = [one for one in exporter.get_finished_spans() if one.name == "attempt"]

    assert span.attributes[names.JOURNEY] == "cart"
    assert span.attributes[names.CLIENT_IP_BLOCK] == "203.0.113.0-203.0.113.127"
    assert span.attributes[names.IP_RULE] == "block:Rhine Logistik"
    assert span.attributes[names.ROUTED_BY] == "home"
    assert span.attributes[names.HOME_REGION] == "eu"
    assert span.attributes[names.CUSTOMER_SEGMENT] == "corporate"
    assert [one.attributes[names.ATTEMPT_TARGET] for one in attempts] == ["cart@eu"]


async def test_a_stranded_journey_is_not_passed_around(shop: Shop, fresh):
    """A call that was forwarded once and is still not at home is refused."""
    customer, _ = fresh
    call = shop["us"].ViewCart(
        pb.ViewCartRequest(customer_id=customer),
        metadata=[("x-seawall-forwarded", "1")],
    )

    assert await refused(call) == ("FAILED_PRECONDITION", "WRONG_REGION", [])


@both
async def test_without_recommendations_the_cured_shop_still_shows_products(
    shop: Shop, request: pytest.FixtureRequest, fresh
):
    """Nice to have is left out, and said so; the sick shop shows nothing at all."""
    cured = request.node.callspec.params["shop"] == "cured"
    customer, _ = fresh
    await shop["eu"].Browse(pb.BrowseRequest(customer_id=customer))
    await shop.stop("recommendations", "eu")
    stranger = await shop["eu"].Browse(pb.BrowseRequest())
    call = shop["eu"].Browse(pb.BrowseRequest(customer_id=customer), timeout=10)

    assert not stranger.recommended_product_ids
    assert not stranger.degraded

    if cured:
        shown = await call
        assert len(shown.products) == 20
        assert [one.reason for one in shown.degraded] == ["RECOMMENDED_BEFORE"]
    else:
        assert (await refused(call))[0] == "UNAVAILABLE"
