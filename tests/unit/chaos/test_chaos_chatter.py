"""Chatter is counted in spans: statements, calls, and calls one after the other."""

import pytest

from chaos.cures import CURES
from chaos.diseases import DISEASES

RESERVE = "shop.v1.Inventory/Reserve"


def checkout(world, at_s, *, calls=0, statements=0, apart_ms=30, **given):
    one = world.journey(at_s, 500, **given)
    root = world.spans[-1]
    for n in range(calls):
        world.call(RESERVE, at_s + n * apart_ms / 1000, parent=root)
    for _ in range(statements):
        world.sql("SELECT stock", at_s, parent=root)
    return one


@pytest.mark.parametrize(
    ("calls", "apart_ms", "passed"), [(4, 30, True), (4, 5, False), (1, 30, False)]
)
def test_calls_one_by_one(world, calls, apart_ms, passed):
    """As many as products and after each other; at once is not one by one."""
    for n in range(3):
        checkout(world, 1021 + n, calls=calls, apart_ms=apart_ms)

    found = DISEASES["calls_one_by_one"](world.scene(), {"at_least": 4})
    assert found.passed is passed


def test_attempts_are_no_calls(world):
    """A call that is tried again is one call still."""
    checkout(world, 1021, calls=1)
    world.call(RESERVE, 1021.3, attempts=5, parent=world.spans[0])

    assert DISEASES["calls_one_by_one"](world.scene(), {"at_least": 2}).observed == 2


@pytest.mark.parametrize(
    ("talkers", "passed"), [(0, True), (2, True), (3, False), (20, False)]
)
def test_few_statements_per_checkout(world, talkers, passed):
    """Nine of ten checkouts keep to the bound; more talkers than that are red."""
    for n in range(20):
        checkout(world, 1021 + n / 2, statements=30 if n < talkers else 5)
    bounds = {"at_most": 8, "min_checkouts": 20}
    found = CURES["few_statements_per_checkout"](world.scene(), bounds)

    assert found.passed is passed


@pytest.mark.parametrize(
    ("count", "calls", "passed"), [(10, 5, True), (10, 9, False), (9, 5, False)]
)
def test_few_calls_per_checkout(world, count, calls, passed):
    """Few calls in checkouts of which there were enough."""
    for n in range(count):
        checkout(world, 1021 + n, calls=calls)
    bounds = {"at_most": 8, "min_checkouts": 10}

    assert CURES["few_calls_per_checkout"](world.scene(), bounds).passed is passed


@pytest.mark.parametrize(
    "name", ["few_statements_per_checkout", "few_calls_per_checkout"]
)
def test_silence_is_no_brevity(world, name):
    """Checkouts whose statements or calls were lost prove nothing."""
    for n in range(10):
        checkout(world, 1021 + n)

    assert not CURES[name](world.scene(), {"at_most": 8}).passed


def test_failed_checkouts_are_no_brief_ones(world):
    """Who fails at the first step has made few calls, and bought nothing."""
    for n in range(10):
        checkout(world, 1021 + n, calls=1, outcome="failure")

    assert not CURES["few_calls_per_checkout"](world.scene(), {"at_most": 8}).passed
