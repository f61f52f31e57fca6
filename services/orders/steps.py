"""The steps of the saga as calls and statements, and how their failures read."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import grpc

from cockroach.errors import DatabaseError
from protos.shop.v1 import (
    common_pb2,
    inventory_pb2,
    inventory_pb2_grpc,
    payments_pb2,
    payments_pb2_grpc,
)
from services.orders.domain import Order
from services.orders.saga import WRITES, Outcome, Step
from services.orders.store import OrderStore
from services.runtime.errors import error_info
from services.runtime.peers import Peers
from services.runtime.policy import PolicySet

#: Refusals of the services below, and what they mean to the customer.
REFUSALS = {
    "OUT_OF_STOCK": "OUT_OF_STOCK",
    "CARD_DECLINED": "CARD_DECLINED",
    "RESERVATION_CLOSED": "WITHDRAWN",
    "PAYMENT_CLOSED": "CARD_DECLINED",
    "IDEMPOTENCY_KEY_REUSED": "WITHDRAWN",
}
_DETAIL = ("decline_reason", "products")


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a step: for a refusal the reason, for the unknown the error."""

    outcome: Outcome
    reason: str = ""
    error: Exception | None = None


class Steps:
    """Takes one step of one order's saga; each may be repeated without harm."""

    def __init__(
        self, store: OrderStore, peers: Peers, policies: Callable[[], PolicySet]
    ) -> None:
        self._store = store
        self._peers = peers
        self._policies = policies
        self._calls: Mapping[Step, Callable[[Order], Awaitable[object]]] = {
            Step.RESERVE: self._reserve,
            Step.AUTHORISE: self._authorise,
            Step.CAPTURE: self._capture,
            Step.COMMIT: self._commit,
            Step.REFUND: self._refund,
            Step.RELEASE: self._release,
        }

    async def take(self, step: Step, order: Order, reason: str = "") -> StepResult:
        """Take a step; `reason` is why an order is rejected."""
        try:
            if step in WRITES:
                moved = await self._store.move(order, WRITES[step], reason)
                return StepResult(Outcome.DONE if moved else Outcome.OVERTAKEN)
            await self._calls[step](order)
        except grpc.RpcError as error:
            return _read(error)
        except DatabaseError as error:
            return StepResult(Outcome.UNKNOWN, error=error)
        return StepResult(Outcome.DONE)

    async def _reserve(self, order: Order) -> None:
        items = [
            common_pb2.LineItem(product_id=line.product_id, quantity=line.quantity)
            for line in order.lines
        ]
        about = {"order_id": str(order.id), "idempotency_key": f"reserve-{order.id}"}
        if self._policies().rpc_batching == "batched":
            await self._inventory.BatchReserve(
                inventory_pb2.BatchReserveRequest(**about, items=items)
            )
            return
        for item in items:
            await self._inventory.Reserve(
                inventory_pb2.ReserveRequest(**about, item=item)
            )

    async def _commit(self, order: Order) -> None:
        await self._inventory.CommitReservation(
            inventory_pb2.CommitReservationRequest(
                order_id=str(order.id), idempotency_key=f"commit-{order.id}"
            )
        )

    async def _release(self, order: Order) -> None:
        await self._inventory.ReleaseReservation(
            inventory_pb2.ReleaseReservationRequest(
                order_id=str(order.id), idempotency_key=f"release-{order.id}"
            )
        )

    async def _authorise(self, order: Order) -> None:
        await self._payments.Authorise(
            payments_pb2.AuthoriseRequest(
                order_id=str(order.id),
                amount=common_pb2.Money(
                    currency=order.currency, minor_units=order.total_minor
                ),
                card_token=order.card_token,
                idempotency_key=f"authorise-{order.id}",
            )
        )

    async def _capture(self, order: Order) -> None:
        await self._payments.Capture(
            payments_pb2.CaptureRequest(
                order_id=str(order.id), idempotency_key=f"capture-{order.id}"
            )
        )

    async def _refund(self, order: Order) -> None:
        await self._payments.Refund(
            payments_pb2.RefundRequest(
                order_id=str(order.id), idempotency_key=f"refund-{order.id}"
            )
        )

    @property
    def _inventory(self) -> "inventory_pb2_grpc.InventoryAsyncStub":
        return self._peers.stub(inventory_pb2_grpc.InventoryStub, "inventory")

    @property
    def _payments(self) -> "payments_pb2_grpc.PaymentsAsyncStub":
        return self._peers.stub(payments_pb2_grpc.PaymentsStub, "payments")


def _read(error: grpc.RpcError) -> StepResult:
    info = error_info(error)
    reason = REFUSALS.get(info.reason, "") if info else ""
    if info is None or not reason:
        return StepResult(Outcome.UNKNOWN, error=error)
    details = [info.metadata[key] for key in _DETAIL if key in info.metadata]
    return StepResult(Outcome.REFUSED, ":".join([reason, *details]))
