"""Payments as values: states, fingerprints and bookings that sum to zero."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID, uuid5

from cockroach.ids import PublicId


class PaymentState(StrEnum):
    """Where an order's payment stands."""

    AUTHORISED = "authorised"
    CAPTURED = "captured"
    DECLINED = "declined"
    REFUNDED = "refunded"


#: What a capture books: money owed by the card network against what was sold.
CAPTURE_BOOKING = (("card_network", 1), ("sales", -1))

#: The journals that a region keeps where entries are numbered.
JOURNALS = 4
_NUMBERS = 0xFFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """An order's payment; the amount in minor units of the currency."""

    order: PublicId
    idem_key: str
    fingerprint: str
    amount_minor: int
    currency: str
    state: PaymentState


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger; `sign` is the side of the booking it stands on."""

    id: UUID
    account: str
    sign: int


class PaymentClosedError(Exception):
    """The payment is past the state that the caller asks for."""

    def __init__(self, state: PaymentState | None) -> None:
        self.state = state
        super().__init__(f"the payment is {state.value}" if state else "no payment")


def fingerprint(*, amount_minor: int, currency: str, card_token: str) -> str:
    """Return what a repeat of the same authorisation must look like."""
    text = f"{amount_minor}|{currency}|{card_token}"
    return hashlib.sha256(text.encode()).hexdigest()


def forbidden(order: PublicId) -> Payment:
    """Return the payment that stands in the way of one that must not happen late."""
    return Payment(
        order=order,
        idem_key="",
        fingerprint="",
        amount_minor=0,
        currency="",
        state=PaymentState.REFUNDED,
    )


def journal(order_id: UUID) -> tuple[UUID, UUID]:
    """Return the first id of the journal that has an order's entries, and the last."""
    # Far apart: PostgreSQL takes what lies on one page of an index for one thing.
    digit = order_id.int % JOURNALS * (16 // JOURNALS)
    before = UUID(f"{digit:x}0000000-0000-4000-8000-000000000000").int
    return UUID(int=before + 1), UUID(int=before + _NUMBERS)


def with_numbers(
    order_id: UUID, entries: Iterable[Entry], after: UUID | None
) -> tuple[Entry, ...]:
    """Return the entries with their journal's next numbers for ids, without a gap.

    `after` is the id of its last entry; None when it has none.
    """
    last = journal(order_id)[0].int - 1 if after is None else after.int
    return tuple(
        replace(entry, id=UUID(int=last + n)) for n, entry in enumerate(entries, 1)
    )


def capture_entries(order_id: UUID) -> tuple[Entry, ...]:
    """Return the entries of a capture.

    Their ids follow from the order, so the ledger's key refuses a second one.
    """
    return tuple(
        Entry(uuid5(order_id, f"capture:{account}"), account, sign)
        for account, sign in CAPTURE_BOOKING
    )


def refund_entries(order_id: UUID) -> tuple[Entry, ...]:
    """Return the entries that undo a capture's."""
    return tuple(
        Entry(uuid5(order_id, f"refund:{account}"), account, -sign)
        for account, sign in CAPTURE_BOOKING
    )
