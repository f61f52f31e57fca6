"""The catalog over the wire, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cockroach.embedded import EmbeddedCluster
from lab import profiles
from lab.layout import free_ports
from protos.shop.v1 import catalog_pb2 as pb
from protos.shop.v1 import catalog_pb2_grpc, common_pb2
from services.catalog.store import CatalogStore
from services.runtime.testing import Running, environment, serving, write_policies

CORPORATE = "eu-00000000-0000-4000-8000-000000000001"
CONSUMER = "eu-00000000-0000-4000-8000-000000000011"
NOBODY = "eu-00000000-0000-4000-8000-999999999999"


both = pytest.mark.parametrize("catalog", profiles.PROFILES, indirect=True)


@pytest.fixture
async def catalog(
    cluster: EmbeddedCluster, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    environ = environment(
        "catalog",
        tmp_path,
        policies=profiles.values(profiles.cures_of(getattr(request, "param", "cured"))),
        database=cluster.target("eu"),
    )
    async with serving(environ) as running:
        yield running


@pytest.fixture
def stub(catalog: Running):
    return catalog_pb2_grpc.CatalogStub(catalog.channel)


def details(error: grpc.aio.AioRpcError):
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for part in rpc_status.from_call(error).details:
        for message in (info, request):
            if part.Is(message.DESCRIPTOR):
                part.Unpack(message)
    return info, [one.field for one in request.field_violations]


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info, fields = details(caught.value)
    return caught.value.code().name, info.reason, fields


@both
async def test_the_front_page_lists_the_most_popular_first(stub):
    """The empty category is the front page: 24 products, the most popular first."""
    page = common_pb2.PageRequest(page_size=100)

    reply = await stub.ListProducts(pb.ListProductsRequest(page=page))

    assert [f"P{n:04d}" for n in range(1, 25)] == [p.product_id for p in reply.products]
    assert reply.next_page_token == ""
    assert not reply.HasField("degraded")


@both
async def test_pages_follow_each_other_without_gap_or_repeat(stub):
    """Following the tokens visits every product of a category once."""
    seen, token = [], ""
    while True:
        page = common_pb2.PageRequest(page_size=25, page_token=token)
        reply = await stub.ListProducts(
            pb.ListProductsRequest(category="books", page=page)
        )
        seen += [product.product_id for product in reply.products]
        token = reply.next_page_token
        if not token:
            break

    assert 63 == len(seen) == len(set(seen))
    assert {"books"} == {p.category for p in reply.products}


async def test_one_product_and_several_agree(stub):
    """A batch gives what single calls give, and names those that are missing."""
    single = await stub.GetProduct(pb.GetProductRequest(product_id="P0007"))
    batch = await stub.BatchGetProducts(
        pb.BatchGetProductsRequest(product_ids=["P0007", "P9999", "P0001", "P0007"])
    )

    assert ["P0007", "P0001"] == [one.product_id for one in batch.products]
    assert single.product == batch.products[0]
    assert ["P9999"] == list(batch.missing)
    assert single.product.price.minor_units > 0


@pytest.mark.parametrize("schema", ["local", "naive"])
async def test_contract_prices_are_the_same_over_both_schemas(
    stub, catalog: Running, tmp_path: Path, schema: str
):
    """The naive and the local join give one answer; only their cost differs."""
    values = profiles.values(profiles.cures_of("cured")) | {"query_schema": schema}
    write_policies(tmp_path / "policies.json", values, version=2)
    assert catalog.process.refresh_policies()
    seen, token = [], ""
    while True:
        page = common_pb2.PageRequest(page_size=40, page_token=token)
        reply = await stub.ListContractPrices(
            pb.ListContractPricesRequest(customer_id=CORPORATE, page=page)
        )
        seen += [(p.product_id, p.contract_price.minor_units) for p in reply.prices]
        token = reply.next_page_token
        if not token:
            break

    assert reply.contract_id == "C-eu-001"
    assert 100 == len(set(seen))
    assert sorted(seen) == seen
    assert all(price > 0 for _, price in seen)


async def test_a_consumer_has_no_contract(stub):
    """A customer without a contract gets an empty list, not an error."""
    reply = await stub.ListContractPrices(
        pb.ListContractPricesRequest(customer_id=CONSUMER)
    )

    assert pb.ListContractPricesResponse() == reply


async def test_what_expired_is_loaded_anew_where_that_is_quick(stub):
    """After an expiry a healthy database's new copy comes, and nothing is stale."""
    request = pb.ListProductsRequest()
    await stub.ListProducts(request)

    expired = await stub.ExpireCache(pb.ExpireCacheRequest())
    fresh = await stub.ListProducts(request)

    assert expired.expired == 1
    assert not fresh.HasField("degraded")


async def test_lists_are_loaded_before_anybody_asks(stub):
    """A cured catalog keeps its lists by itself, so that a price is there at once."""
    toys = pb.ExpireCacheRequest(category="toys")
    async with asyncio.timeout(10):
        while not (await stub.ExpireCache(toys)).expired:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("method", "request_", "expected"),
    [
        (
            "GetProduct",
            pb.GetProductRequest(product_id="P9999"),
            ("NOT_FOUND", "UNKNOWN_PRODUCT", []),
        ),
        (
            "GetProduct",
            pb.GetProductRequest(product_id="no product!"),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["product_id"]),
        ),
        (
            "ListProducts",
            pb.ListProductsRequest(category="weapons"),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["category"]),
        ),
        (
            "ListProducts",
            pb.ListProductsRequest(page=common_pb2.PageRequest(page_size=101)),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["page.page_size"]),
        ),
        (
            "ListProducts",
            pb.ListProductsRequest(page=common_pb2.PageRequest(page_token="x")),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["page.page_token"]),
        ),
        (
            "BatchGetProducts",
            pb.BatchGetProductsRequest(product_ids=["P0001"] * 101),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", ["product_ids"]),
        ),
        (
            "ListContractPrices",
            pb.ListContractPricesRequest(
                customer_id="mars-1", page=common_pb2.PageRequest(page_size=-1)
            ),
            (
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
                ["customer_id", "page.page_size"],
            ),
        ),
        (
            "ListContractPrices",
            pb.ListContractPricesRequest(customer_id=NOBODY),
            ("NOT_FOUND", "UNKNOWN_CUSTOMER", []),
        ),
        (
            "ListContractPrices",
            pb.ListContractPricesRequest(customer_id=CORPORATE.replace("eu", "us")),
            ("FAILED_PRECONDITION", "WRONG_REGION", []),
        ),
    ],
)
async def test_bad_input_has_its_own_status_and_details(
    stub, method, request_, expected
):
    """Each kind of bad request is told apart by status, reason and fields."""
    assert expected == await refused(getattr(stub, method)(request_))


@pytest.fixture
async def region(cluster: EmbeddedCluster, tmp_path: Path, monkeypatch):
    """Two catalogs of one region that know each other, and who loaded which list."""
    loads: list[tuple[int, str]] = []
    load = CatalogStore.category_all

    async def counted(self, category):
        loads.append((id(self), category))
        return await load(self, category)

    monkeypatch.setattr(CatalogStore, "category_all", counted)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    values = profiles.values(profiles.cures_of("cured"))
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(
                serving(
                    environment(
                        "catalog",
                        tmp_path / str(number),
                        policies=values,
                        database=cluster.target("eu"),
                        peers={"catalog": {"eu": addresses}},
                        LISTEN=address,
                        ADDRESS=address,
                        INSTANCE=f"catalog-eu-{number}",
                    )
                )
            )
            for number, address in enumerate(addresses)
        ]
        yield [catalog_pb2_grpc.CatalogStub(one.channel) for one in running], loads


async def test_one_process_of_a_region_loads_for_both(region):
    """After an expiry both processes answer anew, and one of them asked for it."""
    stubs, loads = region
    lists = ("", "books", "games", "toys")
    # The process that started first holds the other for gone until its breaker closes.
    for _ in range(50):
        seen = {await loaders(stubs, loads, one) for one in lists}
        if seen == {1}:
            break
        await asyncio.sleep(0.1)

    assert seen == {1}


async def loaders(stubs, loads, category):
    """Expire a list everywhere, let ten read it, and count who loaded it."""
    for stub in stubs:
        await stub.ListProducts(pb.ListProductsRequest(category=category))
    for stub in stubs:
        await stub.ExpireCache(pb.ExpireCacheRequest(category=category))
    loads.clear()
    await asyncio.gather(
        *(
            stub.ListProducts(pb.ListProductsRequest(category=category))
            for stub in stubs * 5
        )
    )
    return len({who for who, loaded in loads if loaded == category})


async def test_a_list_for_others_is_never_too_old(region):
    """Who asks for a younger copy than there is has it loaded first."""
    (stub, _), loads = region
    await stub.GetList(pb.GetListRequest(category="music", max_age_ms=60_000))
    # The keeper may just be loading every list anew, for nobody's request.
    for _ in range(10):
        loads.clear()
        kept = await stub.GetList(
            pb.GetListRequest(category="music", max_age_ms=60_000)
        )
        if "music" not in [category for _, category in loads]:
            break

    assert "music" not in [category for _, category in loads]
    loads.clear()
    fresh = await stub.GetList(pb.GetListRequest(category="music", max_age_ms=0))

    assert "music" in [category for _, category in loads]
    assert kept.products == fresh.products
    code, _, fields = await refused(
        stub.GetList(pb.GetListRequest(category="music", max_age_ms=-1))
    )
    assert (code, fields) == ("INVALID_ARGUMENT", ["max_age_ms"])
