"""One network's wait is told apart from everybody's, and from nobody's."""

import pytest

from chaos.cures import CURES
from chaos.diseases import DISEASES
from observability import names

FIRM = "block:corp-us"
BLOCK = {"at_least_ms": 200, "others_at_most_ms": 100}


def visit(world, at_s, ms, *, rule="country:US", name="browse", **given):
    one = world.journey(at_s, ms, name=name, home="us", **given)
    world.span(
        "Browse",
        at_s,
        ms,
        kind="SERVER",
        trace=one.trace_id,
        attributes={names.IP_RULE: rule},
    )
    return one


def visits(world, *, firm_ms, others_ms, count=10):
    for n in range(count):
        visit(world, 1021 + n, firm_ms, rule=FIRM, name="contract_prices")
        visit(world, 1021 + n, others_ms)


@pytest.mark.parametrize(
    ("firm_ms", "others_ms", "passed"),
    [(400, 10, True), (20, 10, False), (400, 300, False)],
)
def test_one_network_waits(world, firm_ms, others_ms, passed):
    """The firm's visitors wait; when all wait it is another disease."""
    visits(world, firm_ms=firm_ms, others_ms=others_ms)

    found = DISEASES["one_network_waits"](world.scene(), BLOCK)
    assert found.passed is passed


def test_a_network_alone_is_no_comparison(world):
    """Without anybody else it is not known whom it hits."""
    for n in range(10):
        visit(world, 1021 + n, 400, rule=FIRM)

    assert not DISEASES["one_network_waits"](world.scene(), BLOCK).passed


def test_countries_are_no_networks(world):
    """Waiting visitors from no declared block are not the firm's."""
    for n in range(10):
        visit(world, 1021 + n, 400)

    assert not DISEASES["one_network_waits"](world.scene(), BLOCK).passed


@pytest.mark.parametrize(
    ("firm_ms", "count", "passed"), [(20, 10, True), (150, 10, False), (20, 9, False)]
)
def test_no_network_waits(world, firm_ms, count, passed):
    """The firm is as fast as anybody, and enough of it came."""
    visits(world, firm_ms=firm_ms, others_ms=10, count=count)
    bounds = {"at_most_ms": 100, "min_visits": 10}

    assert CURES["no_network_waits"](world.scene(), bounds).passed is passed


@pytest.mark.parametrize(("between", "passed"), [(20, True), (9, False), (0, False)])
def test_pages_search_every_region(world, between, passed):
    """Trips between the servers, as many as pages at least."""
    visits(world, firm_ms=400, others_ms=10)
    world.trips_between_regions(50, between_gateways=between)

    found = DISEASES["pages_search_every_region"](world.scene(), {"at_least": 1})
    assert found.passed is passed


@pytest.mark.parametrize(
    ("between", "pages", "passed"),
    [(0, 10, True), (1, 10, False), (None, 10, False), (0, 9, False)],
)
def test_pages_stay_in_their_region(world, between, pages, passed):
    """No trip between servers, told apart by the links, with pages read."""
    visits(world, firm_ms=20, others_ms=10, count=pages)
    world.trips_between_regions(50, between_gateways=between)
    bounds = {"at_most": 0, "min_pages": 10}

    assert CURES["pages_stay_in_their_region"](world.scene(), bounds).passed is passed


def test_failed_pages_prove_no_locality(world):
    """A page that was not served made no server ask another, and proves nothing."""
    for n in range(10):
        name = "contract_prices"
        visit(world, 1021 + n, 20, rule=FIRM, name=name, outcome="failure")
    world.trips_between_regions(0, between_gateways=0)
    bounds = {"at_most": 0, "min_pages": 10}

    assert not CURES["pages_stay_in_their_region"](world.scene(), bounds).passed


def test_a_visitor_or_two_are_no_network_that_waits(world):
    """A firm that hardly came decides nothing, however fast or slow it was."""
    visits(world, firm_ms=20, others_ms=10)
    visit(world, 1025, 900, rule="block:other")
    bounds = {"at_most_ms": 100, "min_visits": 10}

    assert CURES["no_network_waits"](world.scene(), bounds).passed
    assert not DISEASES["one_network_waits"](
        world.scene(), {**BLOCK, "min_visits": 10}
    ).passed


def test_everybody_else_is_no_network(world):
    """The firm is not to blame for those who come from nowhere in particular."""
    visits(world, firm_ms=20, others_ms=900)
    found = CURES["no_network_waits"](world.scene(), {"at_most_ms": 100})

    assert (True, 20) == (found.passed, found.observed)
