"""The catalog on the wire: messages in, messages out."""

from collections.abc import Callable
from typing import Any

import grpc

from protos.shop.v1 import catalog_pb2 as pb
from protos.shop.v1 import catalog_pb2_grpc, common_pb2
from services.catalog.domain import MAX_BATCH, Product, Staleness
from services.catalog.handlers import CatalogHandlers
from services.runtime.messages import money, stale
from services.runtime.policy import PolicySet
from services.runtime.validate import Check, at_home, offset_of

Context = grpc.aio.ServicerContext[Any, Any]


class CatalogServicer(catalog_pb2_grpc.CatalogServicer):
    """The Catalog service of one region."""

    def __init__(
        self,
        handlers: CatalogHandlers,
        *,
        region: str,
        policies: Callable[[], PolicySet],
    ) -> None:
        self._handlers = handlers
        self._region = region
        self._policies = policies

    async def ListProducts(  # noqa: N802
        self, request: pb.ListProductsRequest, context: Context
    ) -> pb.ListProductsResponse:
        """Return one page of a category or of the front page."""
        with Check() as check:
            size, token = check.page(request.page)
        page, following, age = await self._handlers.page(
            request.category, offset_of(token), size
        )
        return pb.ListProductsResponse(
            products=map(_product, page),
            next_page_token=following,
            degraded=_degraded(age),
        )

    async def GetProduct(  # noqa: N802
        self, request: pb.GetProductRequest, context: Context
    ) -> pb.GetProductResponse:
        """Return one product."""
        with Check() as check:
            product_id = check.product_id("product_id", request.product_id)
        product, age = await self._handlers.product(product_id)
        return pb.GetProductResponse(product=_product(product), degraded=_degraded(age))

    async def BatchGetProducts(  # noqa: N802
        self, request: pb.BatchGetProductsRequest, context: Context
    ) -> pb.BatchGetProductsResponse:
        """Return several products in one call."""
        with Check() as check:
            count = len(request.product_ids)
            if not 1 <= count <= MAX_BATCH:
                check.fail("product_ids", f"must be 1 to {MAX_BATCH}, was {count}")
            wanted = [
                check.product_id(f"product_ids[{number}]", one)
                for number, one in enumerate(request.product_ids)
            ]
        found, missing, age = await self._handlers.products(wanted)
        return pb.BatchGetProductsResponse(
            products=map(_product, found), missing=missing, degraded=_degraded(age)
        )

    async def ListContractPrices(  # noqa: N802
        self, request: pb.ListContractPricesRequest, context: Context
    ) -> pb.ListContractPricesResponse:
        """Return one page of what a corporate customer has agreed."""
        with Check() as check:
            customer = check.public_id("customer_id", request.customer_id)
            size, token = check.page(request.page)
            after = check.product_id("page.page_token", token) if token else ""
        at_home(customer, self._region, self._policies())
        contract = await self._handlers.contract(customer, after, size)
        return pb.ListContractPricesResponse(
            contract_id=contract.id,
            prices=[
                pb.ContractPrice(
                    product_id=price.product_id,
                    name=price.name,
                    list_price=money(price.list_minor, price.currency),
                    contract_price=money(price.contract_minor, price.currency),
                )
                for price in contract.prices
            ],
            next_page_token=contract.next_token,
        )

    async def GetList(  # noqa: N802
        self, request: pb.GetListRequest, context: Context
    ) -> pb.GetListResponse:
        """Return a whole list to the catalog's other processes."""
        with Check() as check:
            if request.max_age_ms < 0:
                check.fail("max_age_ms", "must not be negative")
        found = await self._handlers.shared(request.category, request.max_age_ms / 1000)
        return pb.GetListResponse(
            products=map(_product, found.value), age_ms=round(found.age_s * 1000)
        )

    async def ExpireCache(  # noqa: N802
        self, request: pb.ExpireCacheRequest, context: Context
    ) -> pb.ExpireCacheResponse:
        """Mark a cached list as expired."""
        return pb.ExpireCacheResponse(expired=self._handlers.expire(request.category))


def _product(product: Product) -> pb.Product:
    return pb.Product(
        product_id=product.id,
        name=product.name,
        category=product.category,
        price=money(product.price_minor, product.currency),
    )


def _degraded(age: Staleness) -> common_pb2.Degraded | None:
    return stale(age.age_s) if age.stale else None
