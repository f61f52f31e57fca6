"""The card network as payments sees it: one reference for each order, for ever."""

import grpc

from cockroach.ids import PublicId
from protos.shop.v1 import acquirer_pb2 as pb
from protos.shop.v1 import acquirer_pb2_grpc, common_pb2
from services.payments.domain import PaymentClosedError
from services.runtime.peers import Peers


class CardNetwork:
    """Calls the acquirer; a repeat of any call changes nothing."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def authorise(
        self, order: PublicId, *, card_token: str, amount_minor: int, currency: str
    ) -> str:
        """Ask for the amount; return why it was declined, or "" when it was not.

        Raises grpc.RpcError when the network did not answer.
        """
        reply = await self._stub().AuthoriseCard(
            pb.AuthoriseCardRequest(
                reference=str(order),
                card_token=card_token,
                amount=common_pb2.Money(currency=currency, minor_units=amount_minor),
            )
        )
        return "" if reply.approved else reply.decline_reason or "DECLINED"

    async def capture(self, order: PublicId) -> None:
        """Take what was authorised.

        Raises PaymentClosedError when the network has nothing to take, grpc.RpcError
        when it did not answer.
        """
        try:
            await self._stub().CaptureCard(pb.CaptureCardRequest(reference=str(order)))
        except grpc.RpcError as error:
            if error.code() in {
                grpc.StatusCode.FAILED_PRECONDITION,
                grpc.StatusCode.NOT_FOUND,
            }:
                raise PaymentClosedError(None) from error
            raise

    async def refund(self, order: PublicId) -> None:
        """Give back or forbid. Raises grpc.RpcError when nobody answered."""
        await self._stub().RefundCard(pb.RefundCardRequest(reference=str(order)))

    def _stub(self) -> "acquirer_pb2_grpc.AcquirerAsyncStub":
        return self._peers.stub(acquirer_pb2_grpc.AcquirerStub, "acquirer")
