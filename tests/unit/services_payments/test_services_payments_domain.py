"""Payments as values: fingerprints and bookings."""

from hypothesis import given
from hypothesis import strategies as st

from services.payments.domain import capture_entries, fingerprint, refund_entries


@given(st.uuids())
def test_every_booking_sums_to_zero(order):
    """Capture and refund each balance, and the one undoes the other."""
    capture, refund = capture_entries(order), refund_entries(order)

    assert 0 == sum(one.sign for one in capture) == sum(one.sign for one in refund)
    assert {one.account: one.sign for one in capture} == {
        one.account: -one.sign for one in refund
    }


@given(st.uuids(), st.uuids())
def test_entries_have_ids_that_a_repeat_cannot_change(order, other):
    """The same booking has the same ids, so the ledger's key refuses it twice."""
    assert capture_entries(order) == capture_entries(order)
    ids = {one.id for one in (*capture_entries(order), *refund_entries(order))}
    assert 4 == len(ids)
    if order != other:
        assert not ids & {one.id for one in capture_entries(other)}


def test_a_fingerprint_knows_amount_currency_and_card():
    """Another amount, currency or card is another authorisation."""
    base = {"amount_minor": 100, "currency": "EUR", "card_token": "tok_visa"}
    others = [{"amount_minor": 101}, {"currency": "USD"}, {"card_token": "tok_x"}]

    prints = {fingerprint(**base), *(fingerprint(**base | one) for one in others)}
    assert 4 == len(prints)
    assert fingerprint(**base) in prints
