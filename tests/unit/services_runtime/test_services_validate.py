"""Requests are checked whole, at the edge."""

import pytest

from lab import profiles
from protos.shop.v1 import common_pb2
from services.runtime.errors import ShopError
from services.runtime.policy import PolicySet
from services.runtime.validate import Check, at_home, offset_of

CUSTOMER = "eu-00000000-0000-4000-8000-000000000001"
Item = common_pb2.LineItem


def fields(check: Check) -> list[str]:
    return [field for field, _ in check.violations]


def policies(profile):
    return PolicySet(**profiles.values(profiles.cures_of(profile)))


def test_everything_wrong_is_told_at_once():
    """One reply lists every violation, by the path of its field."""
    with pytest.raises(ShopError) as caught, Check() as check:  # noqa: PT012 - a block is tested
        check.public_id("customer_id", "eu-nonsense")
        check.lines(
            "items",
            [Item(product_id="P0001", quantity=-1), Item(product_id="", quantity=1)],
        )
        check.idempotency_key("short")
        check.page(common_pb2.PageRequest(page_size=1000))

    assert [field for field, _ in caught.value.violations] == [
        "customer_id",
        "items[0].quantity",
        "items[1].product_id",
        "idempotency_key",
        "page.page_size",
    ]


def test_another_error_is_not_hidden_by_violations():
    """A bug inside the block stays what it is."""
    with pytest.raises(KeyError), Check() as check:  # noqa: PT012 - a block is tested
        check.fail("a", "wrong")
        raise KeyError


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (CUSTOMER, True),
        ("", False),
        ("eu", False),
        ("mars-00000000-0000-4000-8000-000000000001", False),
        ("eu-00000000", False),
        (CUSTOMER.upper(), False),
        ("eu-{00000000-0000-4000-8000-000000000001}", False),
    ],
)
def test_ids_have_one_spelling(text, good):
    """An id is a region of ours and a UUID in its canonical form."""
    check = Check()

    check.public_id("id", text)

    assert good == (not check.violations)


@pytest.mark.parametrize(("quantity", "good"), [(0, 0), (1, 1), (999, 1), (1000, 0)])
def test_quantities_are_one_to_999(quantity, good):
    """Both ends are taken, what is beyond them is not."""
    check = Check()

    check.quantity("quantity", quantity)

    assert bool(good) == (not check.violations)


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("a" * 8, 1),
        ("a" * 64, 1),
        ("a" * 7, 0),
        ("a" * 65, 0),
        ("", 0),
        ("a b cdefgh", 0),
    ],
)
def test_keys_are_eight_to_64_plain_characters(key, good):
    """An idempotency key has to be given and has to be plain."""
    check = Check()

    check.idempotency_key(key)

    assert bool(good) == (not check.violations)


@pytest.mark.parametrize(
    ("token", "good"),
    [
        ("tok_visa", 1),
        ("!" + "~" * 255, 1),
        ("", 0),
        ("t" * 257, 0),
        ("tok_\x00", 0),
        ("tok visa", 0),
        ("tok_vis\u00e4", 0),
    ],
)
def test_a_card_token_is_short_and_visible(token, good):
    """What the database would refuse, or a message could not carry, is told here."""
    check = Check()

    assert token == check.card_token(token)
    assert bool(good) == (not check.violations)


def test_repeated_products_are_added_up():
    """Two lines of one product are one line of both."""
    check = Check()

    lines = check.lines(
        "items",
        [
            Item(product_id="P2", quantity=3),
            Item(product_id="P1", quantity=1),
            Item(product_id="P2", quantity=4),
        ],
    )

    assert lines == [("P2", 7), ("P1", 1)]


def test_repeats_do_not_get_around_the_limit():
    """999 of a product is the most, in however many lines."""
    check = Check()

    check.lines("items", [Item(product_id="P1", quantity=500)] * 2)

    assert fields(check) == ["items"]


@pytest.mark.parametrize(
    ("count", "least", "good"), [(0, 1, 0), (0, 0, 1), (101, 1, 0)]
)
def test_lists_have_bounds(count, least, good):
    """An order has 1 to 100 lines; a list that may be empty may."""
    check = Check()

    check.lines("items", [Item(product_id="P1", quantity=1)] * count, least=least)

    assert bool(good) == (not check.violations)


@pytest.mark.parametrize(
    ("money", "wrong"),
    [
        (common_pb2.Money(currency="USD", minor_units=1), []),
        (common_pb2.Money(currency="usd", minor_units=1), ["amount.currency"]),
        (common_pb2.Money(currency="USD"), ["amount.minor_units"]),
    ],
)
def test_amounts_are_positive_in_a_currency(money, wrong):
    """An amount is above zero and names an ISO 4217 code."""
    check = Check()

    check.money("amount", money)

    assert wrong == fields(check)


def test_page_tokens_are_ours():
    """A token that we did not give is refused."""
    assert offset_of("") == 0
    assert offset_of("40") == 40
    with pytest.raises(ShopError):
        offset_of("-1")


def test_who_is_at_home_elsewhere_is_sent_there():
    """With locality a foreign customer is refused; without it all are taken."""
    check = Check()
    customer = check.public_id("customer_id", CUSTOMER)

    assert at_home(customer, "eu", policies("cured")) is customer
    assert at_home(customer, "us", policies("sick")) is customer
    with pytest.raises(ShopError) as caught:
        at_home(customer, "us", policies("cured"))
    assert caught.value.metadata == {"home_region": "eu"}
