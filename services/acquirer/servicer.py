"""The card network on the wire: messages in, messages out."""

from typing import Any

import grpc

from protos.shop.v1 import acquirer_pb2 as pb
from protos.shop.v1 import acquirer_pb2_grpc
from services.acquirer.domain import CardState
from services.acquirer.handlers import AcquirerHandlers
from services.runtime.validate import Check

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_REFERENCE = 64
_APPROVED = frozenset({CardState.APPROVED, CardState.CAPTURED, CardState.REFUNDED})


class AcquirerServicer(acquirer_pb2_grpc.AcquirerServicer):
    """The Acquirer service, one for the world."""

    def __init__(self, handlers: AcquirerHandlers) -> None:
        self._handlers = handlers

    async def AuthoriseCard(  # noqa: N802
        self, request: pb.AuthoriseCardRequest, _: Context
    ) -> pb.AuthoriseCardResponse:
        """Approve or decline an amount."""
        with Check() as check:
            _reference(check, request.reference)
            minor_units, currency = check.money("amount", request.amount)
            check.card_token(request.card_token)
        payment = self._handlers.authorise(
            request.reference,
            token=request.card_token,
            currency=currency,
            amount_minor=minor_units,
        )
        return pb.AuthoriseCardResponse(
            approved=payment.state in _APPROVED,
            decline_reason=payment.decline_reason,
        )

    async def CaptureCard(  # noqa: N802
        self, request: pb.CaptureCardRequest, _: Context
    ) -> pb.CaptureCardResponse:
        """Take what was approved."""
        with Check() as check:
            _reference(check, request.reference)
        self._handlers.capture(request.reference)
        return pb.CaptureCardResponse()

    async def RefundCard(  # noqa: N802
        self, request: pb.RefundCardRequest, _: Context
    ) -> pb.RefundCardResponse:
        """Void, return or forbid a payment."""
        with Check() as check:
            _reference(check, request.reference)
        self._handlers.refund(request.reference)
        return pb.RefundCardResponse()


def _reference(check: Check, text: str) -> None:
    if not 1 <= len(text) <= _MAX_REFERENCE:
        check.fail("reference", f"must be 1 to {_MAX_REFERENCE} characters")
