"""Statements that leave home are seen by links and spans, and by neither alone."""

import pytest

from chaos.cures import CURES
from chaos.diseases import DISEASES
from observability import names

WORLD = ("us", "eu", "asia")


def checkouts(world, gateways, count=4):
    for n in range(count):
        one = world.journey(1021 + n)
        for gateway in gateways:
            world.sql("SELECT stock", 1021 + n, gateway=gateway, trace=one.trace_id)


@pytest.mark.parametrize(
    ("gateways", "trips", "passed"),
    [(WORLD, 40, True), (WORLD, 0, False), (("us", "eu"), 40, False), ((), 40, False)],
)
def test_checkouts_go_round_the_world(world, gateways, trips, passed):
    """Every region was asked by one checkout, and the links were paid for it."""
    checkouts(world, gateways)
    world.trips_between_regions(trips)
    found = DISEASES["checkouts_go_round_the_world"](world.scene(), {"at_least": 3})

    assert found.passed is passed


@pytest.mark.parametrize(
    ("gateways", "trips", "passed"),
    [
        (("us",), 0, True),
        # The spans say that one left, and the links do not.
        (("us", "eu"), 0, False),
        # The links were paid for, and no span says what for.
        (("us",), 4, False),
        # Nobody asked anything.
        ((), 0, False),
    ],
)
def test_statements_stay_home(world, gateways, trips, passed):
    """No trip by the links, no stray statement by the spans, and statements at all."""
    checkouts(world, gateways)
    world.trips_between_regions(trips)
    bounds = {"at_most": 0, "min_checkouts": 4}

    assert CURES["statements_stay_home"](world.scene(), bounds).passed is passed


def test_uncounted_links_prove_nothing(world):
    """Without the links' count no statement is known to have stayed."""
    checkouts(world, ("us",))

    assert not CURES["statements_stay_home"](world.scene(), {"at_most": 0}).passed


def test_what_the_router_says_of_itself_does_not_count(world):
    """A statement that claims to be at home and went elsewhere is a stray one."""
    one = world.journey(1021)
    stray = world.sql("SELECT stock", 1021, gateway="asia", trace=one.trace_id)
    stray.attributes[names.BALANCER_POLICY] = "home_region"
    stray.attributes[names.HOME_REGION] = "asia"
    world.trips_between_regions(0)

    assert not CURES["statements_stay_home"](world.scene(), {"at_most": 0}).passed
