"""The one place where the acquirer is put together."""

from protos.shop.v1 import acquirer_pb2_grpc
from services.acquirer.handlers import AcquirerHandlers
from services.acquirer.servicer import AcquirerServicer
from services.acquirer.store import CardStore
from services.runtime.runtime import Runtime


def start(runtime: Runtime) -> None:
    """Put the Acquirer on the runtime's server."""
    runtime.serve(
        "shop.v1.Acquirer",
        acquirer_pb2_grpc.add_AcquirerServicer_to_server,
        AcquirerServicer(AcquirerHandlers(CardStore())),
    )
