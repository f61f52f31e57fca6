"""The other regions' intakes, nearest first."""

from collections.abc import Iterator

import grpc

from cockroach.ids import PublicId
from cockroach.topology import nearest
from protos.shop.v1 import orders_pb2 as pb
from protos.shop.v1 import orders_pb2_grpc
from services.orders.domain import Order, Request
from services.orders.messages import order_value, request_message
from services.runtime.errors import ShopError, reason_of
from services.runtime.peers import Peers

#: Answers that no other region would give differently.
FINAL = frozenset(
    {"IDEMPOTENCY_KEY_REUSED", "UNKNOWN_PRODUCT", "INVALID_ARGUMENT", "WRONG_REGION"}
)
#: The nearest region, and one more should that have no answer.
MAX_TRIES = 2


class Elsewhere:
    """Asks other regions' intakes on behalf of this one."""

    def __init__(self, peers: Peers, *, region: str) -> None:
        self._peers = peers
        self._region = region

    async def accept(self, request: Request) -> tuple[Order, str]:
        """Have the order taken; return it and the region that holds it now.

        Raises grpc.RpcError when it is refused for good or nobody could take it,
        ShopError when there is nobody to ask.
        """
        message = pb.AcceptIntakeRequest(order=request_message(request))
        last: grpc.RpcError | None = None
        for region, stub in self._others(request.home):
            try:
                reply = await stub.AcceptIntake(message)
            except grpc.RpcError as error:
                if reason_of(error) in FINAL:
                    raise
                last = error
                continue
            return order_value(reply.order, request), region
        raise last or ShopError(
            grpc.StatusCode.UNAVAILABLE,
            "NO_INTAKE",
            f"region {request.home} cannot take the order and no other is known",
            retry_after_s=1.0,
        )

    async def find(self, order: PublicId) -> Order | None:
        """Return an order that another region's intake still holds, or None."""
        message = pb.GetIntakeRequest(order_id=str(order))
        for _, stub in self._others(order.region):
            try:
                reply = await stub.GetIntake(message)
            except grpc.RpcError:
                continue
            return order_value(reply.order)
        return None

    def _others(
        self, home: str
    ) -> "Iterator[tuple[str, orders_pb2_grpc.OrdersAsyncStub]]":
        known = self._peers.regions("orders")
        near = [region for region in nearest(home) if region in known]
        for region in near[:MAX_TRIES]:
            yield region, self._peers.stub(orders_pb2_grpc.OrdersStub, "orders", region)
