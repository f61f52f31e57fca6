"""Capacity is added where statements arrive at new gateways; it helps or does not."""

import pytest

from chaos.cures import CURES
from chaos.diseases import DISEASES

ADDED = {"at_least": 2, "min_statements": 3}
NOTHING = {"at_least": 0.75, "share_at_least": 0.15}


def statements(world, at_s, gateway, count):
    for n in range(count):
        world.sql("SELECT stock", at_s + n / 100, gateway=gateway)


def checkouts(world, *, before_ms, after_ms):
    for n in range(8):
        world.journey(1011 + n, before_ms)
        world.journey(1031 + n, after_ms)


@pytest.mark.parametrize(
    ("new", "count", "passed"),
    [
        (("us-c", "eu-c"), 3, True),
        (("us-c",), 9, False),
        (("us-c", "eu-c"), 2, False),
        # They were there before.
        (("us-a", "eu-a"), 9, False),
    ],
)
def test_capacity_is_added(world, new, count, passed):
    """So many gateways that nobody asked before, each asked often enough."""
    for gateway in ("us-a", "eu-a"):
        statements(world, 1012, gateway, 5)
    for gateway in new:
        statements(world, 1025, gateway, count)

    assert DISEASES["capacity_is_added"](world.scene(), ADDED).passed is passed


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "new", "passed"),
    [
        (4000, 4000, 5, True),
        (4000, 6000, 5, True),
        # It helped.
        (4000, 1000, 5, False),
        # Nobody used what was added.
        (4000, 4000, 1, False),
    ],
)
def test_capacity_changes_nothing(world, before_ms, after_ms, new, passed):
    """As slow as before, with a share of the statements at the new gateways."""
    checkouts(world, before_ms=before_ms, after_ms=after_ms)
    statements(world, 1012, "us-a", 10)
    statements(world, 1032, "us-a", 10)
    statements(world, 1032, "us-c", new)

    found = DISEASES["capacity_changes_nothing"](world.scene(), NOTHING)
    assert found.passed is passed


def test_nobody_before_is_no_comparison(world):
    """Without checkouts of before nothing is said of those after."""
    world.journey(1031, 4000)
    statements(world, 1032, "us-c", 10)

    assert not DISEASES["capacity_changes_nothing"](world.scene(), NOTHING).passed


@pytest.mark.parametrize(
    ("count", "slow", "failed", "passed"),
    [(40, 0, 0, True), (40, 3, 0, False), (40, 0, 1, False), (19, 0, 0, False)],
)
def test_capacity_is_not_missed(world, count, slow, failed, passed):
    """Quick and successful before anything was added, and enough to tell by."""
    for n in range(count):
        outcome = "failure" if n < failed else "success"
        world.journey(1011 + n / 10, 4000 if n < slow else 60, outcome=outcome)
    # What came later is no matter.
    world.journey(1025, 9000)
    bounds = {"at_most_ms": 500, "min_checkouts": 20}

    assert CURES["capacity_is_not_missed"](world.scene(), bounds).passed is passed
