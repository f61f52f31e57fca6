"""Carts as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cart.domain import CartFullError, Known, add, fingerprint

PRODUCTS = st.sampled_from([f"P{n:04d}" for n in range(1, 9)])
LINES = st.dictionaries(PRODUCTS, st.integers(1, 99)).map(lambda d: list(d.items()))


@given(st.dictionaries(PRODUCTS, st.integers(1, 99)), LINES)
def test_adding_adds_and_forgets_nothing(items, lines):
    """The cart after it holds the sum; changed and new rows are what differs."""
    addition = add(items, lines)
    after = dict(addition.items)

    assert set(items) | {product for product, _ in lines} == set(after)
    assert sum(after.values()) == sum(items.values()) + sum(n for _, n in lines)
    assert {p for p, _ in addition.changed} <= set(items)
    assert not {p for p, _ in addition.new} & set(items)
    assert dict(addition.changed) | dict(addition.new) == {
        p: after[p] for p, _ in lines
    }


def test_a_cart_has_bounds():
    """No more than 999 of a product and 100 products."""
    hundred = {f"P{n:04d}": 1 for n in range(100)}

    assert add({"P1": 998}, [("P1", 1)]).items == (("P1", 999),)
    with pytest.raises(CartFullError, match="999 of P1"):
        add({"P1": 998}, [("P1", 2)])
    with pytest.raises(CartFullError, match="100 products"):
        add(hundred, [("P9999", 1)])


def test_a_fingerprint_tells_requests_apart_and_repeats_together():
    """The order of lines does not matter; the operation and quantities do."""
    one = fingerprint("add", [("P1", 1), ("P2", 2)])

    assert one == fingerprint("add", [("P2", 2), ("P1", 1)])
    assert len({one, fingerprint("add", [("P1", 2)]), fingerprint("clear")}) == 3


def test_what_is_not_sold_is_named():
    """Products that do not exist are listed in the order they were asked for."""
    known = Known(customer=True, products=frozenset({"P1"}))

    assert known.missing([("P3", 1), ("P1", 1), ("P2", 1)]) == ["P3", "P2"]
