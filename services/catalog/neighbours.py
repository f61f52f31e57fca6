"""The catalog's other processes of this region, of whom one holds a list's lease."""

import grpc

from cockroach.errors import DatabaseUnavailableError
from protos.shop.v1 import catalog_pb2, catalog_pb2_grpc
from resilience import Aged
from services.catalog.domain import Product
from services.runtime.errors import reason_of
from services.runtime.peers import Peers

# Its own load has time to end; a process that is gone says so at once.
ASK_S = 1.0


class HolderRefusedError(DatabaseUnavailableError):
    """The holder was there, and has no list to give: its database is in trouble."""


class Neighbours:
    """Fetches lists from the region's other catalogs."""

    def __init__(self, peers: Peers, *, region: str) -> None:
        self._peers = peers
        self._region = region
        self.addresses = peers.addresses("catalog", region)

    async def fetch(
        self, address: str, category: str, max_age_s: float
    ) -> Aged[tuple[Product, ...]]:
        """Return a list as another process has it, `max_age_s` old at most.

        Raises HolderRefusedError, or grpc.RpcError when nobody was there.
        """
        stub = self._peers.stub_at(catalog_pb2_grpc.CatalogStub, "catalog", address)
        request = catalog_pb2.GetListRequest(
            category=category, max_age_ms=int(max_age_s * 1000)
        )
        try:
            reply = await stub.GetList(request, timeout=ASK_S)
        except grpc.RpcError as error:
            if reason_of(error):
                raise HolderRefusedError(self._region, "lease_holder") from error
            raise
        products = tuple(
            Product(
                id=one.product_id,
                name=one.name,
                category=one.category,
                price_minor=one.price.minor_units,
                currency=one.price.currency,
            )
            for one in reply.products
        )
        return Aged(products, reply.age_ms / 1000)


def unreachable(error: Exception) -> bool:
    """Tell whether a fetch failed because nobody was there."""
    return isinstance(error, grpc.RpcError)
