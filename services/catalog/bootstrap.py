"""The one place where the catalog is put together."""

from protos.shop.v1 import catalog_pb2_grpc
from services.catalog.handlers import CatalogHandlers
from services.catalog.keeper import Keeper
from services.catalog.servicer import CatalogServicer
from services.catalog.store import CatalogStore
from services.runtime.runtime import Runtime


def start(runtime: Runtime) -> None:
    """Put Catalog on the runtime's server and its background work beside it."""
    region = runtime.settings.region
    handlers = CatalogHandlers(
        CatalogStore(runtime.need_database()),
        policies=runtime.policies,
        listener=runtime.recorder,
    )
    runtime.serve(
        "shop.v1.Catalog",
        catalog_pb2_grpc.add_CatalogServicer_to_server,
        CatalogServicer(handlers, region=region, policies=runtime.policies),
    )
    keeper = Keeper(handlers.refresh, policies=runtime.policies, rng=runtime.rng)
    runtime.background(keeper.keep_for_ever)
