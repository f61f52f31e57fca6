"""Authorise, capture, refund: the card network first, then the books.

The network knows a payment by its order, so a break between the two is mended by
repeating the call: it answers as before and the books are written then.
"""

from collections.abc import Callable

from cockroach.ids import PublicId
from services.payments.card_network import CardNetwork
from services.payments.domain import (
    Payment,
    PaymentClosedError,
    PaymentState,
    fingerprint,
)
from services.payments.store import PaymentStore
from services.runtime.errors import ShopError, key_reused, not_found, precondition
from services.runtime.policy import PolicySet


class PaymentHandlers:
    """The use cases of one region's payments."""

    def __init__(
        self,
        store: PaymentStore,
        network: CardNetwork,
        *,
        policies: Callable[[], PolicySet],
    ) -> None:
        self._store = store
        self._network = network
        self._policies = policies

    async def authorise(
        self,
        order: PublicId,
        *,
        amount_minor: int,
        currency: str,
        card_token: str,
        key: str,
    ) -> Payment:
        """Reserve the amount on the card, once for an order.

        Raises CARD_DECLINED, IDEMPOTENCY_KEY_REUSED for another amount or card,
        PAYMENT_CLOSED when it was refunded before.
        """
        declined = await self._network.authorise(
            order, card_token=card_token, amount_minor=amount_minor, currency=currency
        )
        asked = Payment(
            order=order,
            idem_key=key,
            fingerprint=fingerprint(
                amount_minor=amount_minor, currency=currency, card_token=card_token
            ),
            amount_minor=amount_minor,
            currency=currency,
            state=PaymentState.DECLINED if declined else PaymentState.AUTHORISED,
        )
        payment = await self._store.record(asked)
        if payment.state is PaymentState.REFUNDED:
            raise _closed(payment.state)
        if payment.fingerprint != asked.fingerprint:
            raise key_reused(key)
        if payment.state is PaymentState.DECLINED:
            raise precondition(
                "CARD_DECLINED",
                f"the card was declined: {declined}",
                decline_reason=declined,
            )
        return payment

    async def capture(self, order: PublicId) -> Payment:
        """Take what was authorised and book it, once. Raises PAYMENT_CLOSED."""
        numbered = self._numbered
        try:
            await self._network.capture(order)
            if self._batched and not numbered:
                return await self._store.capture_all(order)
            return await self._store.capture_each(order, numbered=numbered)
        except PaymentClosedError as error:
            raise _closed(error.state) from error

    async def refund(self, order: PublicId) -> Payment:
        """Undo whatever state the payment has, and keep it from coming later."""
        numbered = self._numbered
        await self._network.refund(order)
        if self._batched and not numbered:
            return await self._store.refund_all(order)
        return await self._store.refund_each(order, numbered=numbered)

    async def payment(self, order: PublicId) -> Payment:
        """Return the order's payment. Raises UNKNOWN_PAYMENT."""
        payment = await self._store.find(order)
        if payment is None:
            raise not_found("UNKNOWN_PAYMENT", f"no payment for order {order}")
        return payment

    @property
    def _batched(self) -> bool:
        return self._policies().sql_batching == "batched"

    @property
    def _numbered(self) -> bool:
        return self._policies().ledger_keys == "sequential"


def _closed(state: PaymentState | None) -> ShopError:
    return precondition(
        "PAYMENT_CLOSED",
        "there is nothing authorised to take",
        state=state or "none",
    )
