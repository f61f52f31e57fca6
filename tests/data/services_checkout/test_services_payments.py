"""Payments over the wire, with a real acquirer and a real ledger."""

import asyncio
from uuid import UUID

import pytest

from cockroach.ids import new_id
from cockroach.testing import inject
from protos.shop.v1 import common_pb2
from protos.shop.v1 import payments_pb2 as pb
from services.payments.domain import journal

PROFILES = pytest.mark.parametrize("profile", ["sick", "cured"])
SERVICES = ("acquirer", "payments")
KEY = "test-payments"


def authorise(order, amount=500, token="tok_visa"):
    return pb.AuthoriseRequest(
        order_id=str(order),
        amount=common_pb2.Money(currency="EUR", minor_units=amount),
        card_token=token,
        idempotency_key=KEY,
    )


def capture(order):
    return pb.CaptureRequest(order_id=str(order), idempotency_key=KEY)


def refund(order):
    return pb.RefundRequest(order_id=str(order), idempotency_key=KEY)


@PROFILES
async def test_a_payment_is_taken_once_and_given_back_once(open_shop, tables, profile):
    """Every call may be repeated; the ledger has each booking once and sums to zero."""
    order = new_id("eu")
    async with open_shop(profile, services=SERVICES) as shop:
        payments = shop.payments
        states = []
        for call, request in (
            (payments.Authorise, authorise(order)),
            (payments.Capture, capture(order)),
            (payments.Refund, refund(order)),
        ):
            first, again = await call(request), await call(request)
            assert first == again
            states.append((first.payment.state, tables().money(order)))
        told = await payments.GetPayment(pb.GetPaymentRequest(order_id=str(order)))

    assert [
        (pb.PAYMENT_STATE_AUTHORISED, (0, 0, 0)),
        (pb.PAYMENT_STATE_CAPTURED, (2, 0, 500)),
        (pb.PAYMENT_STATE_REFUNDED, (4, 0, 0)),
    ] == states
    assert first.payment == told.payment
    assert "refunded" == shop.cards.get(str(order)).state


@PROFILES
async def test_captures_at_once_book_once(open_shop, tables, profile):
    """Of many captures at the same time one books, and all are answered alike."""
    order = new_id("eu")
    async with open_shop(profile, services=SERVICES) as shop:
        await shop.payments.Authorise(authorise(order))
        replies = await asyncio.gather(
            *(shop.payments.Capture(capture(order)) for _ in range(6))
        )

    assert 1 == len({reply.SerializeToString() for reply in replies})
    assert (2, 0, 500) == tables().money(order)


@PROFILES
async def test_what_was_never_seen_cannot_happen_late(
    open_shop, tables, refused, profile
):
    """A refund ahead of its authorisation keeps the card from being charged."""
    order = new_id("eu")
    async with open_shop(profile, services=SERVICES) as shop:
        first = await shop.payments.Refund(refund(order))
        late = await refused(shop.payments.Authorise(authorise(order)))
        taken = await refused(shop.payments.Capture(capture(order)))

    assert pb.PAYMENT_STATE_REFUNDED == first.payment.state
    assert ("FAILED_PRECONDITION", "PAYMENT_CLOSED") == late[:2] == taken[:2]
    assert (0, 0, 0) == tables().money(order)


@PROFILES
async def test_a_voided_authorisation_books_nothing(
    open_shop, tables, refused, profile
):
    """What was authorised and given back has no entry, and cannot be captured."""
    order = new_id("eu")
    async with open_shop(profile, services=SERVICES) as shop:
        await shop.payments.Authorise(authorise(order))
        await shop.payments.Refund(refund(order))
        taken = await refused(shop.payments.Capture(capture(order)))
        again = await refused(shop.payments.Authorise(authorise(order)))

    assert "PAYMENT_CLOSED" == taken[1] == again[1]
    assert (0, 0, 0) == tables().money(order)


@PROFILES
async def test_declined_and_reused_are_told_apart(open_shop, tables, refused, profile):
    """A declined card names its reason; another amount for an order is a reused key."""
    declined, order = new_id("eu"), new_id("eu")
    async with open_shop(profile, services=SERVICES) as shop:
        request = authorise(declined, token="tok_insufficient_funds")
        no = [await refused(shop.payments.Authorise(request)) for _ in range(2)]
        await shop.payments.Authorise(authorise(order))
        reused = await refused(shop.payments.Authorise(authorise(order, amount=501)))
        taken = await refused(shop.payments.Capture(capture(declined)))

    assert no[0] == no[1]
    assert ("CARD_DECLINED", "INSUFFICIENT_FUNDS") == (
        no[0][1],
        no[0][2]["decline_reason"],
    )
    assert ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED") == reused[:2]
    assert "PAYMENT_CLOSED" == taken[1]
    assert ("declined", "authorised") == (
        tables().state("payments", declined),
        tables().state("payments", order),
    )


async def test_bookings_at_once_are_numbered_without_a_gap(open_shop, tables):
    """Each pays once, whoever lost to whom; in each journal the numbers are in line."""
    orders = [new_id("eu") for _ in range(10)]
    async with open_shop("sick", services=SERVICES, transaction_attempts=50) as shop:
        for order in orders:
            await shop.payments.Authorise(authorise(order))
        await asyncio.gather(
            *(shop.payments.Capture(capture(order)) for order in orders * 2)
        )
        await asyncio.gather(
            *(shop.payments.Refund(refund(order)) for order in orders[:4])
        )
    journals: dict[tuple[UUID, UUID], list[int]] = {}
    for row in tables().rows(
        "select id, order_id from ledger_entries where crdb_region = 'eu' "
        "and order_id = any(%s) order by id",
        [order.uuid for order in orders],
    ):
        journals.setdefault(journal(row["order_id"]), []).append(row["id"].int)

    assert [(4, 0, 0)] * 4 + [(2, 0, 500)] * 6 == [tables().money(o) for o in orders]
    assert 28 == sum(len(numbers) for numbers in journals.values())
    for (first, last), numbers in journals.items():
        assert list(range(numbers[0], numbers[0] + len(numbers))) == numbers
        assert first.int <= numbers[0] < numbers[-1] <= last.int


async def test_a_number_that_was_taken_is_a_conflict_and_no_failure(
    open_shop, tables, refused
):
    """Told as a duplicate, the booking is done again with the next number, once.

    With a random key a duplicate is none of that, and the whole is taken back.
    """
    one, other = new_id("eu"), new_id("eu")
    taken = {"at": "statement", "matching": "INSERT INTO ledger_entries"}
    async with open_shop("sick", services=SERVICES) as shop:
        for order in (one, other):
            await shop.payments.Authorise(authorise(order))
        with inject("23505", times=2, **taken) as fault:
            await shop.payments.Capture(capture(one))
        numbered = tables().money(one)
        shop.set_policies(ledger_keys="random", retry_attempts=1)
        with inject("23505", **taken):
            await refused(shop.payments.Capture(capture(other)))

    assert 2 == fault.struck
    assert (2, 0, 500) == numbered
    assert (0, 0, 0) == tables().money(other)
    assert "authorised" == tables().state("payments", other)


async def test_keys_may_change_between_capture_and_refund(open_shop, tables):
    """Random keys and numbers stand in one ledger; nothing is booked twice."""
    orders = [new_id("eu") for _ in range(4)]
    async with open_shop("cured", services=SERVICES) as shop:
        for keys in ("random", "sequential", "random"):
            shop.set_policies(ledger_keys=keys)
            for order in orders[:2] if keys == "random" else orders:
                await shop.payments.Authorise(authorise(order))
                await shop.payments.Capture(capture(order))
        for order, keys in zip(orders, ("random", "sequential") * 2, strict=True):
            shop.set_policies(ledger_keys=keys)
            for _ in range(2):
                await shop.payments.Refund(refund(order))

    assert [(4, 0, 0)] * 4 == [tables().money(order) for order in orders]


async def test_an_acquirer_away_is_a_failure_with_nothing_written(
    open_shop, tables, refused, until_it_works
):
    """Without the card network nothing is authorised, and a repeat finds it whole."""
    order = new_id("eu")
    async with open_shop("cured", services=SERVICES) as shop:
        await shop.stop("acquirer")
        away = await refused(shop.payments.Authorise(authorise(order)))
        nothing = tables().state("payments", order)
        await shop.start("acquirer")
        await until_it_works(lambda: shop.payments.Authorise(authorise(order)))

    assert "UNAVAILABLE" == away[0]
    assert nothing is None
    assert "authorised" == tables().state("payments", order)


async def test_bad_requests_name_their_fields(open_shop, tables, refused):
    """Everything that is wrong with a request is told at once."""
    async with open_shop("cured", services=SERVICES) as shop:
        bad = await refused(
            shop.payments.Authorise(
                pb.AuthoriseRequest(
                    order_id="eu-1", amount=common_pb2.Money(minor_units=-1)
                )
            )
        )
        unknown = await refused(
            shop.payments.GetPayment(pb.GetPaymentRequest(order_id=str(new_id("eu"))))
        )
        elsewhere = await refused(shop.payments.Capture(capture(new_id("us"))))

    assert [
        "order_id",
        "amount.minor_units",
        "amount.currency",
        "idempotency_key",
        "card_token",
    ] == bad[3]
    assert ("NOT_FOUND", "UNKNOWN_PAYMENT") == unknown[:2]
    assert ("FAILED_PRECONDITION", "WRONG_REGION") == elsewhere[:2]
