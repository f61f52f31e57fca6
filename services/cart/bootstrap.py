"""The one place where carts are put together."""

from datetime import UTC, datetime

from protos.shop.v1 import cart_pb2_grpc
from services.cart.handlers import CartHandlers
from services.cart.servicer import CartServicer
from services.cart.store import CartStore
from services.runtime.runtime import Runtime


def start(runtime: Runtime) -> None:
    """Put CartService on the runtime's server."""
    store = CartStore(runtime.need_database(), lambda: datetime.now(UTC))
    runtime.serve(
        "shop.v1.CartService",
        cart_pb2_grpc.add_CartServiceServicer_to_server,
        CartServicer(
            CartHandlers(store, policies=runtime.policies),
            region=runtime.settings.region,
            policies=runtime.policies,
        ),
    )
