"""Payments on the wire: messages in, messages out."""

from collections.abc import Callable
from typing import Any

import grpc

from cockroach.ids import PublicId
from protos.shop.v1 import common_pb2, payments_pb2_grpc
from protos.shop.v1 import payments_pb2 as pb
from services.payments.domain import Payment, PaymentState
from services.payments.handlers import PaymentHandlers
from services.runtime.policy import PolicySet
from services.runtime.validate import Check, at_home

Context = grpc.aio.ServicerContext[Any, Any]

_STATES = {
    PaymentState.AUTHORISED: pb.PAYMENT_STATE_AUTHORISED,
    PaymentState.CAPTURED: pb.PAYMENT_STATE_CAPTURED,
    PaymentState.DECLINED: pb.PAYMENT_STATE_DECLINED,
    PaymentState.REFUNDED: pb.PAYMENT_STATE_REFUNDED,
}


class PaymentsServicer(payments_pb2_grpc.PaymentsServicer):
    """The Payments service of one region."""

    def __init__(
        self,
        handlers: PaymentHandlers,
        *,
        region: str,
        policies: Callable[[], PolicySet],
    ) -> None:
        self._handlers = handlers
        self._region = region
        self._policies = policies

    async def Authorise(  # noqa: N802
        self, request: pb.AuthoriseRequest, _: Context
    ) -> pb.AuthoriseResponse:
        """Reserve the amount on the card."""
        with Check() as check:
            order = check.public_id("order_id", request.order_id)
            minor_units, currency = check.money("amount", request.amount)
            key = check.idempotency_key(request.idempotency_key)
            check.card_token(request.card_token)
        payment = await self._handlers.authorise(
            self._ours(order),
            amount_minor=minor_units,
            currency=currency,
            card_token=request.card_token,
            key=key,
        )
        return pb.AuthoriseResponse(payment=_message(payment))

    async def Capture(  # noqa: N802
        self, request: pb.CaptureRequest, _: Context
    ) -> pb.CaptureResponse:
        """Take what was authorised."""
        payment = await self._handlers.capture(self._order(request))
        return pb.CaptureResponse(payment=_message(payment))

    async def Refund(  # noqa: N802
        self, request: pb.RefundRequest, _: Context
    ) -> pb.RefundResponse:
        """Undo whatever state the payment has."""
        payment = await self._handlers.refund(self._order(request))
        return pb.RefundResponse(payment=_message(payment))

    async def GetPayment(  # noqa: N802
        self, request: pb.GetPaymentRequest, _: Context
    ) -> pb.GetPaymentResponse:
        """Tell where an order's payment stands."""
        with Check() as check:
            order = check.public_id("order_id", request.order_id)
        payment = await self._handlers.payment(self._ours(order))
        return pb.GetPaymentResponse(payment=_message(payment))

    def _order(self, request: pb.CaptureRequest | pb.RefundRequest) -> PublicId:
        with Check() as check:
            order = check.public_id("order_id", request.order_id)
            check.idempotency_key(request.idempotency_key)
        return self._ours(order)

    def _ours(self, order: PublicId) -> PublicId:
        return at_home(order, self._region, self._policies())


def _message(payment: Payment) -> pb.Payment:
    return pb.Payment(
        order_id=str(payment.order),
        amount=common_pb2.Money(
            currency=payment.currency, minor_units=payment.amount_minor
        ),
        state=_STATES[payment.state],
    )
