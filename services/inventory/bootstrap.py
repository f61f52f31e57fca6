"""The one place where inventory is put together."""

from datetime import UTC, datetime

from protos.shop.v1 import inventory_pb2_grpc
from services.inventory.handlers import InventoryHandlers
from services.inventory.servicer import InventoryServicer
from services.inventory.store import InventoryStore
from services.runtime.runtime import Runtime


def start(runtime: Runtime) -> None:
    """Put Inventory on the runtime's server."""
    region = runtime.settings.region
    store = InventoryStore(runtime.need_database(), lambda: datetime.now(UTC))
    handlers = InventoryHandlers(store, region=region, policies=runtime.policies)
    runtime.serve(
        "shop.v1.Inventory",
        inventory_pb2_grpc.add_InventoryServicer_to_server,
        InventoryServicer(handlers, region=region, policies=runtime.policies),
    )
