"""Payments as values: fingerprints and bookings."""

import itertools
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.payments.domain import (
    JOURNALS,
    capture_entries,
    fingerprint,
    journal,
    refund_entries,
    with_numbers,
)


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


@given(st.uuids(version=4), st.integers(0, 10_000))
def test_numbered_entries_follow_the_last_one(order, booked):
    """The journal has no gap, and only the ids differ from the random ones."""
    entries = capture_entries(order)
    least, most = journal(order)
    last = UUID(int=least.int + booked)
    first = with_numbers(order, entries, None)
    later = with_numbers(order, entries, last)

    assert [least.int, least.int + 1] == [one.id.int for one in first]
    assert [last.int + 1, last.int + 2] == [one.id.int for one in later]
    assert all(least <= one.id <= most for one in later)
    assert [(one.account, one.sign) for one in entries] == [
        (one.account, one.sign) for one in later
    ]
    assert not any(least <= one.id <= most for one in entries)


def test_journals_have_no_number_in_common():
    """Each order's entries are in one of them, and they do not overlap."""
    found = sorted({journal(UUID(int=n)) for n in range(40)})

    assert JOURNALS == len(found)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(found))


def test_a_fingerprint_knows_amount_currency_and_card():
    """Another amount, currency or card is another authorisation."""
    base = {"amount_minor": 100, "currency": "EUR", "card_token": "tok_visa"}
    others = [{"amount_minor": 101}, {"currency": "USD"}, {"card_token": "tok_x"}]

    prints = {fingerprint(**base), *(fingerprint(**base | one) for one in others)}
    assert 4 == len(prints)
    assert fingerprint(**base) in prints
