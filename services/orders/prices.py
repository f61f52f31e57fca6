"""What products cost, as the region's catalog says."""

from collections.abc import Callable, Sequence

import grpc

from protos.shop.v1 import catalog_pb2, catalog_pb2_grpc
from services.orders.domain import (
    MixedCurrenciesError,
    OrderLine,
    Price,
    UnknownProductError,
    Wish,
    priced,
)
from services.runtime.errors import not_found, precondition, reason_of
from services.runtime.peers import Peers
from services.runtime.policy import PolicySet


class PriceList:
    """Asks the catalog, for all products at once or one by one."""

    def __init__(self, peers: Peers, policies: Callable[[], PolicySet]) -> None:
        self._peers = peers
        self._policies = policies

    async def lines(self, wishes: Sequence[Wish]) -> tuple[tuple[OrderLine, ...], str]:
        """Return the wishes with prices, and the currency.

        Raises UNKNOWN_PRODUCT, MIXED_CURRENCIES, and grpc.RpcError when the catalog
        has no answer.
        """
        products = [wish.product_id for wish in wishes]
        batched = self._policies().rpc_batching == "batched"
        prices = await (self._all(products) if batched else self._each(products))
        try:
            return priced(wishes, prices)
        except UnknownProductError as error:
            raise not_found(
                "UNKNOWN_PRODUCT", str(error), products=",".join(error.products)
            ) from error
        except MixedCurrenciesError as error:
            raise precondition("MIXED_CURRENCIES", str(error)) from error

    async def _all(self, products: Sequence[str]) -> dict[str, Price]:
        reply = await self._catalog.BatchGetProducts(
            catalog_pb2.BatchGetProductsRequest(product_ids=products)
        )
        return {product.product_id: _price(product) for product in reply.products}

    async def _each(self, products: Sequence[str]) -> dict[str, Price]:
        found = {}
        for product in products:
            try:
                reply = await self._catalog.GetProduct(
                    catalog_pb2.GetProductRequest(product_id=product)
                )
            except grpc.RpcError as error:
                if reason_of(error) == "UNKNOWN_PRODUCT":
                    continue
                raise
            found[product] = _price(reply.product)
        return found

    @property
    def _catalog(self) -> "catalog_pb2_grpc.CatalogAsyncStub":
        return self._peers.stub(catalog_pb2_grpc.CatalogStub, "catalog")


def _price(product: catalog_pb2.Product) -> Price:
    return Price(product.price.minor_units, product.price.currency)
