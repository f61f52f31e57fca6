"""The one place where payments is put together."""

from datetime import UTC, datetime

from protos.shop.v1 import payments_pb2_grpc
from services.payments.card_network import CardNetwork
from services.payments.handlers import PaymentHandlers
from services.payments.servicer import PaymentsServicer
from services.payments.store import PaymentStore
from services.runtime.runtime import Runtime


def start(runtime: Runtime) -> None:
    """Put Payments on the runtime's server."""
    handlers = PaymentHandlers(
        PaymentStore(runtime.need_database(), lambda: datetime.now(UTC)),
        CardNetwork(runtime.peers),
        policies=runtime.policies,
    )
    runtime.serve(
        "shop.v1.Payments",
        payments_pb2_grpc.add_PaymentsServicer_to_server,
        PaymentsServicer(
            handlers, region=runtime.settings.region, policies=runtime.policies
        ),
    )
