"""The network's memory: one entry per reference, bounded, oldest forgotten."""

from collections import OrderedDict

from services.acquirer.domain import CardPayment

#: About 100 MB of payments; a lab uses a few thousand.
MAX_PAYMENTS = 500_000


class CardStore:
    """Payments by reference."""

    def __init__(self, limit: int = MAX_PAYMENTS) -> None:
        self._limit = limit
        self._payments: OrderedDict[str, CardPayment] = OrderedDict()

    def get(self, reference: str) -> CardPayment | None:
        """Return what is known under the reference, or None."""
        return self._payments.get(reference)

    def put(self, payment: CardPayment) -> None:
        """Remember the payment's newest state."""
        self._payments[payment.reference] = payment
        while len(self._payments) > self._limit:
            self._payments.popitem(last=False)

    def __len__(self) -> int:
        return len(self._payments)

    def __repr__(self) -> str:
        return f"<CardStore {len(self)} payments of at most {self._limit}>"
