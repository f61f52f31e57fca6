"""The card network's memory."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.acquirer import domain
from services.acquirer.domain import CardPayment, CardRefusedError, CardState
from services.acquirer.handlers import AcquirerHandlers
from services.acquirer.store import CardStore
from services.runtime.errors import ShopError

CARD = {"reference": "eu-1", "currency": "EUR", "amount_minor": 500}


def known(state: CardState) -> CardPayment:
    return CardPayment(state=state, **CARD)


@pytest.mark.parametrize(
    ("token", "state", "reason"),
    [
        ("tok_visa", CardState.APPROVED, ""),
        ("tok_declined", CardState.DECLINED, "DO_NOT_HONOUR"),
        ("tok_insufficient_funds", CardState.DECLINED, "INSUFFICIENT_FUNDS"),
        ("4111", CardState.DECLINED, "UNKNOWN_CARD"),
    ],
)
def test_the_token_decides_and_the_first_answer_stands(token, state, reason):
    """A reference is decided once; another token changes nothing."""
    first = domain.authorise(None, token=token, **CARD)

    assert (state, reason) == (first.state, first.decline_reason)
    assert first == domain.authorise(first, token="tok_other", **CARD)


@pytest.mark.parametrize(
    ("before", "captured", "refunded"),
    [
        (None, None, CardState.VOIDED),
        (CardState.APPROVED, CardState.CAPTURED, CardState.VOIDED),
        (CardState.CAPTURED, CardState.CAPTURED, CardState.REFUNDED),
        (CardState.DECLINED, None, CardState.DECLINED),
        (CardState.VOIDED, None, CardState.VOIDED),
        (CardState.REFUNDED, None, CardState.REFUNDED),
    ],
)
def test_what_each_state_allows(before, captured, refunded):
    """Only what is approved is taken, once; a refund undoes whatever there is."""
    payment = known(before) if before else None

    if captured:
        assert captured is domain.capture(payment, reference="eu-1").state
    else:
        with pytest.raises(CardRefusedError):
            domain.capture(payment, reference="eu-1")
    assert refunded is domain.refund(payment, reference="eu-1").state


@given(st.lists(st.sampled_from(["authorise", "capture", "refund"])))
def test_money_is_taken_once_and_never_after_it_was_given_back(calls):
    """In any order of calls a payment is captured at most once, and never revived."""
    store, seen = CardStore(), []
    handlers = AcquirerHandlers(store)
    for call in calls:
        with contextlib.suppress(ShopError):
            match call:
                case "authorise":
                    handlers.authorise(
                        "eu-1", token="tok_visa", currency="EUR", amount_minor=500
                    )
                case "capture":
                    handlers.capture("eu-1")
                case _:
                    handlers.refund("eu-1")
        payment = store.get("eu-1")
        if payment and (not seen or seen[-1] is not payment.state):
            seen.append(payment.state)

    assert len(seen) == len(set(seen))
    if CardState.VOIDED in seen or CardState.REFUNDED in seen:
        assert seen[-1] in {CardState.VOIDED, CardState.REFUNDED}


def test_the_memory_is_bounded():
    """The oldest payment is forgotten when there are too many."""
    store = CardStore(limit=2)
    for n in range(3):
        store.put(CardPayment(reference=f"eu-{n}", state=CardState.APPROVED))

    assert store.get("eu-0") is None
    assert 2 == len(store)
    assert "<CardStore 2 payments of at most 2>" == repr(store)
