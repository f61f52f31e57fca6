"""Buyers of one product lose to each other, or stand in line: counted in spans."""

import pytest

from chaos.cures import CURES
from chaos.diseases import DISEASES
from observability import names

FEW = {"at_most": 0.05, "min_checkouts": 20}
LOCKS = {"statement": "UPDATE stock", "at_least": 5, "longer_than_ms": 300}


def checkouts(world, count, *, lost=0, state="40001", at_s=1021):
    for n in range(count):
        one = world.journey(at_s + n / 10)
        for _ in range(lost):
            span = world.sql("UPDATE stock", at_s + n / 10, trace=one.trace_id)
            span.attributes[names.DB_STATUS] = state


@pytest.mark.parametrize(
    ("lost", "state", "passed"),
    [
        (1, "40001", True),
        (1, "40P01", True),
        (0, "40001", False),
        # Refused for another reason: nobody lost to anybody.
        (1, "23505", False),
    ],
)
def test_buyers_lose_to_each_other(world, lost, state, passed):
    """Conflicts by their SQLSTATE, in traces of checkouts."""
    checkouts(world, 10, lost=lost, state=state)
    found = DISEASES["buyers_lose_to_each_other"](world.scene(), {"at_least": 0.3})

    assert found.passed is passed


@pytest.mark.parametrize(
    ("quick", "slow", "passed"),
    [(10, 5, True), (10, 4, False), (0, 20, False)],
)
def test_buyers_wait_for_locks(world, quick, slow, passed):
    """Some take long and some do not; when all do it is not the lock."""
    for n in range(quick):
        world.sql("UPDATE stock", 1021 + n / 10, 5)
    for n in range(slow):
        world.sql("UPDATE stock", 1025 + n / 10, 900)

    assert DISEASES["buyers_wait_for_locks"](world.scene(), LOCKS).passed is passed


def test_what_was_cut_short_is_not_the_quickest(world):
    """A statement that nobody waited for to its end makes no other one slow."""
    cut = world.sql("UPDATE stock", 1021, 5)
    cut.attributes[names.CANCELLED_BY] = "caller"
    for n in range(20):
        world.sql("UPDATE stock", 1025 + n / 10, 900)

    assert not DISEASES["buyers_wait_for_locks"](world.scene(), LOCKS).passed


@pytest.mark.parametrize(
    ("count", "lost", "passed"), [(40, 0, True), (40, 1, False), (19, 0, False)]
)
def test_buyers_do_not_lose(world, count, lost, passed):
    """Hardly a conflict, among checkouts enough to have had some."""
    checkouts(world, count, lost=lost)

    assert CURES["buyers_do_not_lose"](world.scene(), FEW).passed is passed


BOOKS = {"table": "ledger_entries"}


def bookings(world, count, *, lost=0, name="INSERT ledger_entries", state="40001"):
    """Checkouts that book, the first `lost` of them with a booking that is lost."""
    for n in range(count):
        one = world.journey(1021 + n / 10)
        if n < lost:
            span = world.sql(name, 1021 + n / 10, trace=one.trace_id)
            span.attributes[names.DB_STATUS] = state
        world.sql("INSERT ledger_entries", 1021 + n / 10, trace=one.trace_id)


@pytest.mark.parametrize(
    ("lost", "name", "state", "passed"),
    [
        (4, "INSERT ledger_entries", "40001", True),
        (4, "SELECT ledger_entries", "40001", True),
        (4, "INSERT ledger_entries", "23505", True),
        (1, "INSERT ledger_entries", "40001", False),
        # A booking that was wrong lost to nobody, and stock is another matter.
        (4, "INSERT ledger_entries", "23514", False),
        (4, "UPDATE stock", "40001", False),
    ],
)
def test_bookings_lose_to_each_other(world, lost, name, state, passed):
    """Conflicts in the ledger by their SQLSTATE, in traces of checkouts."""
    bookings(world, 20, lost=lost, name=name, state=state)
    bounds = BOOKS | {"at_least": 0.2}
    found = DISEASES["bookings_lose_to_each_other"](world.scene(), bounds)

    assert found.passed is passed


@pytest.mark.parametrize(
    ("count", "lost", "passed"), [(40, 0, True), (40, 1, False), (19, 0, False)]
)
def test_bookings_do_not_lose(world, count, lost, passed):
    """Not one, among checkouts enough that did book."""
    bookings(world, count, lost=lost)
    for n in range(30):
        world.journey(1022 + n / 10)
    bounds = BOOKS | {"at_most": 0.0, "min_checkouts": 20}

    assert CURES["bookings_do_not_lose"](world.scene(), bounds).passed is passed
