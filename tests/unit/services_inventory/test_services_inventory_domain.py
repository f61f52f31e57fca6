"""Reservations as values."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.ids import PublicId, new_id
from services.inventory.domain import (
    Line,
    ReservationClosedError,
    ReservationState,
    Standing,
    as_json,
    from_json,
    merged,
    shard_of,
    short,
    spread,
    still_to_take,
)

LINES = st.lists(
    st.builds(Line, st.sampled_from(["P1", "P2", "P3"]), st.integers(1, 999))
)


@given(LINES)
def test_merging_keeps_every_piece_and_one_order_of_products(lines):
    """Each product comes once, sorted, with all that was asked of it."""
    result = merged(lines)

    assert sum(one.quantity for one in lines) == sum(one.quantity for one in result)
    products = [one.product_id for one in result]
    assert sorted(set(products)) == products


@given(LINES)
def test_lines_survive_the_row(lines):
    """What a reservation row keeps is what was reserved."""
    assert tuple(lines) == from_json(as_json(lines))


@given(st.integers(0, 10_000), st.integers(8, 12))
def test_what_is_left_is_shared_out_evenly(left, rows):
    """Nothing is lost or made, and no row has much more than another."""
    first, each = spread(left, rows, 8)

    assert left == first + each * (rows - 1)
    assert 0 <= first - each < rows
    assert (left, 0) == spread(left, rows, 1)


@given(st.uuids())
def test_an_order_keeps_its_shard(uuid):
    """A repeat goes to the row that the first attempt took from."""
    order = PublicId("eu", uuid)

    assert shard_of(order, 8) == shard_of(PublicId("eu", uuid), 8)
    assert 0 <= shard_of(order, 8) < 8
    assert 0 == shard_of(order, 1)


def test_orders_spread_over_all_shards():
    """New orders go to every row, so that two seldom meet."""
    met = Counter(shard_of(new_id("eu"), 8) for _ in range(800))

    assert 8 == len(met)
    assert max(met.values()) < 250


def test_short_names_what_there_is_too_little_of():
    """Unknown products count as none at all."""
    lines = [Line("P1", 2), Line("P2", 1), Line("P3", 1)]

    assert ("P1", "P3") == short(lines, {"P1": 1, "P2": 1})


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (Standing(), ("P1", "P2")),
        (Standing(state=ReservationState.RESERVED, held=(Line("P1", 1),)), ("P2",)),
        (
            Standing(
                state=ReservationState.RESERVED, held=(Line("P1", 1), Line("P2", 1))
            ),
            (),
        ),
        (Standing(state=ReservationState.COMMITTED), ()),
    ],
)
def test_a_repeat_takes_only_what_is_missing(standing, expected):
    """Nothing is taken twice, whatever the first attempt left."""
    lines = (Line("P1", 1), Line("P2", 1))

    assert expected == tuple(o.product_id for o in still_to_take(lines, standing))


def test_what_was_released_is_never_taken_late():
    """A reserve that comes after the release is refused."""
    with pytest.raises(ReservationClosedError, match="released"):
        still_to_take((Line("P1", 1),), Standing(state=ReservationState.RELEASED))
