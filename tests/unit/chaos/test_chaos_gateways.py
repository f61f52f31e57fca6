"""A slow gateway is left or kept by where statements arrive and how long they take."""

import pytest

from chaos.cures import CURES
from chaos.diseases import DISEASES

KEPT = {"at_least": 0.3, "slower_by_ms": 200}
LEFT = {"at_most": 0.15, "within_s": 3, "had_at_least": 0.25, "min_statements": 10}


def statements(world, at_s, *, slow, sound, ms=350):
    """So many statements to each of eu's gateways, from inside eu."""
    for n in range(slow):
        world.sql("SELECT stock", at_s + n / 50, ms, gateway="eu-a", region="eu")
    for n in range(sound):
        world.sql("SELECT stock", at_s + n / 50, 5, gateway="eu-b", region="eu")


@pytest.mark.parametrize(
    ("slow", "sound", "ms", "passed"),
    [
        (10, 10, 350, True),
        (2, 20, 350, False),
        # They arrived there, and it was not slow: another gateway was, or none.
        (10, 10, 5, False),
        (10, 0, 350, False),
    ],
)
def test_slow_gateway_keeps_its_share(world, slow, sound, ms, passed):
    """It gets as much as ever, and what it gets takes long."""
    statements(world, 1025, slow=slow, sound=sound, ms=ms)

    found = DISEASES["slow_gateway_keeps_its_share"](world.scene(), KEPT)
    assert found.passed is passed


@pytest.mark.parametrize(
    ("before", "slow", "sound", "passed"),
    [
        ((10, 10), 1, 20, True),
        ((10, 10), 10, 10, False),
        # It had nothing to lose.
        ((0, 20), 0, 20, False),
        # Nobody asked the region: it was not the gateway that was left.
        ((10, 10), 0, 5, False),
    ],
)
def test_slow_gateway_is_left(world, before, slow, sound, passed):
    """Its share falls from what it was, while the region is still asked."""
    had, other = before
    statements(world, 1012, slow=had, sound=other, ms=5)
    statements(world, 1025, slow=slow, sound=sound)

    assert CURES["slow_gateway_is_left"](world.scene(), LEFT).passed is passed


def test_what_was_sent_before_it_was_noticed_does_not_count(world):
    """The first seconds are allowed for."""
    statements(world, 1012, slow=10, sound=10, ms=5)
    statements(world, 1021, slow=10, sound=10)
    statements(world, 1025, slow=0, sound=20)

    assert CURES["slow_gateway_is_left"](world.scene(), LEFT).passed


def test_statements_from_far_away_are_not_compared(world):
    """Their distance would make either gateway slow."""
    statements(world, 1025, slow=0, sound=20)
    for n in range(20):
        world.sql("SELECT stock", 1025 + n / 50, 350, gateway="eu-a", region="us")

    found = DISEASES["slow_gateway_keeps_its_share"](world.scene(), KEPT)
    assert not found.passed


@pytest.mark.parametrize(
    ("at_s", "slow", "passed"), [(1049, 10, True), (1049, 1, False), (1042, 10, False)]
)
def test_slow_gateway_comes_back(world, at_s, slow, passed):
    """Some time after it is well again it is asked again."""
    statements(world, at_s, slow=slow, sound=10, ms=5)
    bounds = {"at_least": 0.2, "within_s": 8}

    assert CURES["slow_gateway_comes_back"](world.scene(), bounds).passed is passed
