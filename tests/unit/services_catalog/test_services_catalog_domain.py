"""Products and prices as values."""

import pytest

from services.catalog.domain import (
    CATEGORIES,
    ContractPrice,
    Product,
    Staleness,
    contract_page,
    cut,
    known_category,
)
from services.catalog.listed import Listed

LAMP = Product(
    id="P0001", name="Lamp", category="office", price_minor=999, currency="USD"
)


@pytest.mark.parametrize(
    ("offset", "size", "page", "token"),
    [
        (0, 2, [1, 2], "2"),
        (2, 2, [3, 4], "4"),
        (4, 2, [5], ""),
        (0, 5, [1, 2, 3, 4, 5], ""),
        (9, 2, [], ""),
    ],
)
def test_a_list_is_cut_into_pages(offset, size, page, token):
    """The last page has no token; a page past the end is empty."""
    assert (page, token) == cut([1, 2, 3, 4, 5], offset, size)


def test_a_contract_page_points_past_its_last_product():
    """One row more than asked for says that there is another page."""
    prices = [
        ContractPrice(
            product_id=f"P{n}", name="", list_minor=2, contract_minor=1, currency="USD"
        )
        for n in range(3)
    ]

    assert contract_page("C", prices, 2).next_token == "P1"
    assert len(contract_page("C", prices, 2).prices) == 2
    assert contract_page("C", prices, 3).next_token == ""
    assert contract_page("", [], 3).prices == ()


def test_the_front_page_is_a_category():
    """The empty name and the shop's categories are known, nothing else is."""
    assert all(known_category(one) for one in ("", *CATEGORIES))
    assert not known_category("Books")


def test_an_answer_is_as_stale_as_its_worst_part():
    """Age and staleness of a batch are those of its oldest part."""
    fresh, old = Staleness(age_s=1), Staleness(age_s=9, stale=True)

    assert old == fresh.worse(old) == old.worse(fresh)


@pytest.mark.parametrize(
    ("age", "stale_s", "source"),
    [(5, 0, "hit"), (5.1, 0, None), (5.1, 30, "stale"), (35.1, 30, None)],
)
def test_a_listed_copy_lasts_as_long_as_a_cached_one(age, stale_s, source):
    """A copy is fresh for the cache's time, then stale for as long as that may be."""
    now = [100.0]
    listed = Listed(lambda: now[0])
    listed.put([LAMP])
    now[0] += age
    found = listed.get("P0001", ttl_s=5, stale_s=stale_s)

    assert source == (found and found.source)
    assert listed.get("P0002", ttl_s=5) is None
    assert repr(listed) == "<Listed 1 products>"
