"""What a card network remembers of one payment, as a pure state machine.

A reference names one payment for ever: whatever is asked about it again gets
the answer it got the first time.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

#: Tokens that the network refuses, and what it says.
REFUSED_TOKENS = {
    "tok_declined": "DO_NOT_HONOUR",
    "tok_insufficient_funds": "INSUFFICIENT_FUNDS",
}
TOKEN_PREFIX = "tok_"  # noqa: S105 - the visible part of every test token


class CardState(StrEnum):
    """Where one card payment stands."""

    APPROVED = "approved"
    DECLINED = "declined"
    CAPTURED = "captured"
    VOIDED = "voided"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPayment:
    """One payment as the network knows it; amounts in minor units."""

    reference: str
    state: CardState
    currency: str = ""
    amount_minor: int = 0
    decline_reason: str = ""


class CardRefusedError(Exception):
    """The network will not do this to that payment."""

    def __init__(self, reference: str, state: CardState | None) -> None:
        super().__init__(
            f"payment {reference!r} is {state.value if state else 'unknown'}"
        )
        self.reference = reference
        self.state = state


def authorise(
    known: CardPayment | None,
    *,
    reference: str,
    token: str,
    currency: str,
    amount_minor: int,
) -> CardPayment:
    """Approve or decline, or tell again what was decided before."""
    if known is not None:
        if known.state is CardState.VOIDED:
            # Voided before it was ever asked for: it must not happen late.
            return replace(known, decline_reason="VOIDED")
        return known
    reason = REFUSED_TOKENS.get(token, "")
    if not token.startswith(TOKEN_PREFIX):
        reason = "UNKNOWN_CARD"
    return CardPayment(
        reference=reference,
        state=CardState.DECLINED if reason else CardState.APPROVED,
        currency=currency,
        amount_minor=amount_minor,
        decline_reason=reason,
    )


def capture(known: CardPayment | None, *, reference: str) -> CardPayment:
    """Take the money of an approved payment, once.

    Raises:
        CardRefusedError: nothing approved stands under the reference.
    """
    if known is None:
        raise CardRefusedError(reference, None)
    if known.state in {CardState.APPROVED, CardState.CAPTURED}:
        return replace(known, state=CardState.CAPTURED)
    raise CardRefusedError(reference, known.state)


def refund(known: CardPayment | None, *, reference: str) -> CardPayment:
    """Void what was approved, return what was captured, forbid what never came."""
    if known is None:
        return CardPayment(reference=reference, state=CardState.VOIDED)
    if known.state is CardState.APPROVED:
        return replace(known, state=CardState.VOIDED)
    if known.state is CardState.CAPTURED:
        return replace(known, state=CardState.REFUNDED)
    return known
