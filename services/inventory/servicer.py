"""Inventory on the wire: messages in, messages out."""

from collections.abc import Callable
from typing import Any

import grpc

from cockroach.ids import PublicId
from protos.shop.v1 import inventory_pb2 as pb
from protos.shop.v1 import inventory_pb2_grpc
from services.inventory.domain import Line
from services.inventory.handlers import InventoryHandlers
from services.runtime.policy import PolicySet
from services.runtime.validate import MAX_LINES, Check, at_home

Context = grpc.aio.ServicerContext[Any, Any]


class InventoryServicer(inventory_pb2_grpc.InventoryServicer):
    """The Inventory service of one region."""

    def __init__(
        self,
        handlers: InventoryHandlers,
        *,
        region: str,
        policies: Callable[[], PolicySet],
    ) -> None:
        self._handlers = handlers
        self._region = region
        self._policies = policies

    async def GetStock(  # noqa: N802
        self, request: pb.GetStockRequest, _: Context
    ) -> pb.GetStockResponse:
        """Tell what may be sold of one product."""
        with Check() as check:
            product = check.product_id("product_id", request.product_id)
        found = await self._handlers.stock([product])
        return pb.GetStockResponse(
            stock=pb.Stock(product_id=product, available=found[product])
        )

    async def BatchGetStock(  # noqa: N802
        self, request: pb.BatchGetStockRequest, _: Context
    ) -> pb.BatchGetStockResponse:
        """Tell what may be sold of several products."""
        with Check() as check:
            if not 1 <= len(request.product_ids) <= MAX_LINES:
                check.fail("product_ids", f"must be 1 to {MAX_LINES} products")
            products = [
                check.product_id(f"product_ids[{number}]", product)
                for number, product in enumerate(request.product_ids)
            ]
        found = await self._handlers.stock(products)
        return pb.BatchGetStockResponse(
            stock=[
                pb.Stock(product_id=product, available=found[product])
                for product in dict.fromkeys(products)
            ]
        )

    async def Reserve(  # noqa: N802
        self, request: pb.ReserveRequest, _: Context
    ) -> pb.ReserveResponse:
        """Reserve one product for an order."""
        with Check() as check:
            order = check.public_id("order_id", request.order_id)
            line = Line(*check.line("item", request.item))
            check.idempotency_key(request.idempotency_key)
        await self._handlers.reserve_one(self._ours(order), line)
        return pb.ReserveResponse()

    async def BatchReserve(  # noqa: N802
        self, request: pb.BatchReserveRequest, _: Context
    ) -> pb.BatchReserveResponse:
        """Reserve all lines of an order or none."""
        with Check() as check:
            order = check.public_id("order_id", request.order_id)
            lines = [Line(*line) for line in check.lines("items", request.items)]
            check.idempotency_key(request.idempotency_key)
        await self._handlers.reserve(self._ours(order), lines)
        return pb.BatchReserveResponse()

    async def CommitReservation(  # noqa: N802
        self, request: pb.CommitReservationRequest, _: Context
    ) -> pb.CommitReservationResponse:
        """Turn an order's reservation into a sale."""
        await self._handlers.commit(self._order(request))
        return pb.CommitReservationResponse()

    async def ReleaseReservation(  # noqa: N802
        self, request: pb.ReleaseReservationRequest, _: Context
    ) -> pb.ReleaseReservationResponse:
        """Give an order's reservation back."""
        await self._handlers.release(self._order(request))
        return pb.ReleaseReservationResponse()

    def _order(
        self, request: pb.CommitReservationRequest | pb.ReleaseReservationRequest
    ) -> PublicId:
        with Check() as check:
            order = check.public_id("order_id", request.order_id)
            check.idempotency_key(request.idempotency_key)
        return self._ours(order)

    def _ours(self, order: PublicId) -> PublicId:
        return at_home(order, self._region, self._policies())
