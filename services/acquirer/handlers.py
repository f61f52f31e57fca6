"""What the card network does for a shop, each reference remembered."""

from services.acquirer import domain
from services.acquirer.domain import CardPayment
from services.acquirer.store import CardStore
from services.runtime.errors import ShopError, not_found, precondition


class AcquirerHandlers:
    """The use cases of the card network."""

    def __init__(self, store: CardStore) -> None:
        self._store = store

    def authorise(
        self, reference: str, *, token: str, currency: str, amount_minor: int
    ) -> CardPayment:
        """Approve or decline; a repeat gets the first answer."""
        return self._keep(
            domain.authorise(
                self._store.get(reference),
                reference=reference,
                token=token,
                currency=currency,
                amount_minor=amount_minor,
            )
        )

    def capture(self, reference: str) -> CardPayment:
        """Take an approved payment. Raises UNKNOWN_REFERENCE, NOT_CAPTURABLE."""
        try:
            return self._keep(
                domain.capture(self._store.get(reference), reference=reference)
            )
        except domain.CardRefusedError as error:
            raise _refusal(error) from error

    def refund(self, reference: str) -> CardPayment:
        """Void, return or forbid."""
        return self._keep(
            domain.refund(self._store.get(reference), reference=reference)
        )

    def _keep(self, payment: CardPayment) -> CardPayment:
        self._store.put(payment)
        return payment


def _refusal(error: domain.CardRefusedError) -> ShopError:
    if error.state is None:
        return not_found("UNKNOWN_REFERENCE", str(error))
    return precondition("NOT_CAPTURABLE", str(error), state=error.state)
