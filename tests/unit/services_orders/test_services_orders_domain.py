"""Orders as values: ids, fingerprints, prices, and what is kept in memory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.ids import customer_id, new_id
from services.orders.domain import (
    MixedCurrenciesError,
    OrderLine,
    OrderState,
    Price,
    Request,
    UnknownProductError,
    Wish,
    accepted,
    priced,
)
from services.orders.messages import order_message, order_value, refusal
from services.orders.recent import Recent
from services.orders.store import NEWEST, Cursor
from services.orders.unfinished import Unfinished

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
REQUEST = Request(
    customer=customer_id("eu", 7),
    wishes=(Wish("P0001", 2), Wish("P0002", 1)),
    card_token="tok_visa",
    key="key-12345",
)
LINES = (OrderLine("P0001", 2, 250), OrderLine("P0002", 1, 99))


def an_order(n: int = 0, customer: int = 7):
    request = replace(REQUEST, key=f"key-{n:05d}", customer=customer_id("eu", customer))
    return accepted(request, LINES, "EUR", NOW + timedelta(seconds=n))


def test_an_order_adds_up():
    """The total is the sum of its lines, in minor units."""
    assert 599 == an_order().total_minor


def test_every_region_promises_the_same_order_for_a_key():
    """The id follows from home and key alone, so two intakes promise one order."""
    again = replace(REQUEST, wishes=(), card_token="other")
    other = replace(REQUEST, key="key-54321")
    elsewhere = replace(REQUEST, customer=customer_id("us", 7))

    assert REQUEST.order_id == again.order_id
    assert 3 == len({REQUEST.order_id, other.order_id, elsewhere.order_id})
    assert "us" == elsewhere.order_id.region


def test_a_fingerprint_knows_every_part_but_not_the_order_of_items():
    """Another customer, card, product or quantity is another body."""
    turned = replace(REQUEST, wishes=REQUEST.wishes[::-1])
    others = [
        replace(REQUEST, customer=customer_id("eu", 8)),
        replace(REQUEST, card_token="tok_other"),
        replace(REQUEST, wishes=(Wish("P0001", 3), Wish("P0002", 1))),
        replace(REQUEST, wishes=(Wish("P0001", 2),)),
    ]

    assert REQUEST.fingerprint == turned.fingerprint
    assert 5 == len({REQUEST.fingerprint, *(one.fingerprint for one in others)})


def test_prices_make_lines_in_one_currency():
    """Every wish gets its price; unknown products and mixed currencies are refused."""
    prices = {"P0001": Price(250, "EUR"), "P0002": Price(99, "EUR")}
    mixed = prices | {"P0002": Price(99, "USD")}

    assert (LINES, "EUR") == priced(REQUEST.wishes, prices)
    with pytest.raises(UnknownProductError) as unknown:
        priced((*REQUEST.wishes, Wish("P9", 1)), prices)
    assert ("P9",) == unknown.value.products
    with pytest.raises(MixedCurrenciesError, match="EUR, USD"):
        priced(REQUEST.wishes, mixed)


def test_a_rejection_that_is_decided_is_told_only_when_it_is_done():
    """Until everything is undone the customer sees an accepted order."""
    rejecting = an_order().moved(OrderState.REJECTING, "CARD_DECLINED:DO_NOT_HONOUR")
    rejected = rejecting.moved(OrderState.REJECTED, "SOMETHING_ELSE")

    assert 1 == order_message(rejecting).state
    assert "" == order_message(rejecting).rejection
    assert "CARD_DECLINED" == order_message(rejected).rejection
    assert "DO_NOT_HONOUR" == refusal(rejected).metadata["decline_reason"]


def test_an_order_survives_the_wire():
    """What another region tells of an order is the order that it has."""
    order = an_order()

    assert order == order_value(order_message(order), replace(REQUEST, key=order.key))


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_page_token_leads_back_to_its_place(when, order):
    """A cursor survives being a token."""
    cursor = Cursor(when, order)

    assert cursor == Cursor.parse(cursor.token())


@pytest.mark.parametrize("token", ["x", "Zm9v", "!!", "MjAyNi0xMS0yMy94", "é"])
def test_a_token_of_somebody_else_is_refused(token):
    """Whatever is no token of ours is a ValueError, never anything else."""
    with pytest.raises(ValueError):
        Cursor.parse(token)
    assert NEWEST == Cursor.parse("")


def test_recent_orders_are_bounded_and_newest_first():
    """Memory holds the newest orders of the customers seen last, and no more."""
    recent = Recent(customers=2, each=3)
    for n in range(5):
        recent.see(an_order(n))
    for customer in (8, 9):
        recent.see(an_order(9, customer))

    assert [] == recent.of(customer_id("eu", 7))
    assert 1 == len(recent.of(customer_id("eu", 9)))
    for n in range(5):
        recent.see(an_order(n))
    assert [an_order(n) for n in (4, 3, 2)] == recent.of(customer_id("eu", 7))
    assert an_order(3) == recent.find(an_order(3).id)
    assert recent.find(new_id("eu")) is None


def test_recent_keeps_the_last_state_of_an_order():
    """An order seen again is remembered as it is now."""
    recent = Recent()
    recent.see(an_order())
    confirmed = an_order().moved(OrderState.CONFIRMED)
    recent.see(confirmed)

    assert [confirmed] == recent.of(confirmed.customer)


def test_unfinished_orders_are_queued_once_and_bounded():
    """The queue has no twins, gives the oldest first and forgets the oldest."""
    queue = Unfinished(limit=3)
    ids = [an_order(n).id for n in range(4)]
    for order in (*ids, ids[3]):
        queue.add(order)

    assert 3 == len(queue)
    assert queue.there.is_set()
    assert ids[0] not in queue
    assert ids[3] in queue
    assert ids[1:3] == queue.take(2)
    assert ids[3:] == queue.take(2)
    assert not queue.there.is_set()
    assert "<Unfinished 0 orders>" == repr(queue)
