"""The one place where the catalog is put together."""

from protos.shop.v1 import catalog_pb2_grpc
from services.catalog.handlers import CatalogHandlers
from services.catalog.keeper import Keeper
from services.catalog.lists import Lists
from services.catalog.neighbours import Neighbours, unreachable
from services.catalog.servicer import CatalogServicer
from services.catalog.store import CatalogStore
from services.runtime.runtime import Runtime


def start(runtime: Runtime) -> None:
    """Put Catalog on the runtime's server and its background work beside it."""
    region = runtime.settings.region
    database = runtime.need_database()
    database.keep_spares()
    store = CatalogStore(database)
    neighbours = Neighbours(runtime.peers, region=region)
    lists = Lists(
        store,
        policies=runtime.policies,
        listener=runtime.recorder,
        own=runtime.settings.address,
        members=neighbours.addresses,
        fetch=neighbours.fetch,
        unreachable=unreachable,
    )
    handlers = CatalogHandlers(
        store, lists, policies=runtime.policies, listener=runtime.recorder
    )
    runtime.serve(
        "shop.v1.Catalog",
        catalog_pb2_grpc.add_CatalogServicer_to_server,
        CatalogServicer(handlers, region=region, policies=runtime.policies),
    )
    keeper = Keeper(lists.refresh, policies=runtime.policies, rng=runtime.rng)
    runtime.background(keeper.keep_for_ever)
