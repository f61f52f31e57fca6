"""The schedule is decided by the seed, and looks like the shop's customers."""

from collections import Counter

import pytest

from load.arrivals import FLASH, schedule
from load.plan import Plan


def test_same_seed_same_arrivals(plan):
    """Two runs with one seed meet the same customers at the same times."""
    assert schedule(plan) == schedule(plan)


def test_other_seed_other_arrivals(plan_document):
    """Another seed is another day."""
    first = schedule(Plan.from_json(plan_document))
    second = schedule(Plan.from_json({**plan_document, "seed": 8}))

    assert first != second


def test_start_time_changes_nothing(plan_document):
    """The schedule hangs on the seed, not on when it is played."""
    later = Plan.from_json({**plan_document, "start_at": 5000.0})

    assert schedule(Plan.from_json(plan_document)) == schedule(later)


def test_arrivals_come_in_order(plan):
    """The generator can walk the schedule once."""
    times = [arrival.at_s for arrival in schedule(plan)]

    assert sorted(times) == times


@pytest.mark.parametrize(("journey", "expected"), [("checkout", 600), ("browse", 2400)])
def test_rates_are_kept(plan, journey, expected):
    """Poisson arrivals come at the rate asked for, within four deviations."""
    count = sum(a.journey == journey for a in schedule(plan))

    assert abs(count - expected) < 4 * expected**0.5


def test_a_tenth_is_away(plan):
    """The away share dials another region than home, and has an address there."""
    drawn = [a for a in schedule(plan) if a.journey != FLASH]
    away = [a for a in drawn if a.away]

    assert 0.07 < len(away) / len(drawn) < 0.13
    assert all(a.home != a.dialled for a in away)


def test_flash_crowd_comes_at_once(plan):
    """Every region's readers read the front page within the crowd's span."""
    crowd = [a for a in schedule(plan) if a.journey == FLASH]

    assert Counter({"us": 60, "eu": 60, "asia": 60}) == Counter(a.home for a in crowd)
    assert all(30 <= a.at_s <= 30.1 and a.category == "" for a in crowd)


def test_half_of_the_browses_read_the_front_page(plan):
    """The hot key is as hot as the plan says."""
    browses = [a for a in schedule(plan) if a.journey == "browse"]
    share = sum(a.category == "" for a in browses) / len(browses)

    assert 0.45 < share < 0.55


def test_baskets_are_small_and_popular(plan):
    """One to five different products, the most popular ones most often."""
    baskets = [a.items for a in schedule(plan) if a.journey == "checkout"]
    counts = Counter(product for basket in baskets for product, _ in basket)

    assert all(1 <= len(basket) <= 5 for basket in baskets)
    assert all(len({p for p, _ in basket}) == len(basket) for basket in baskets)
    assert counts.most_common(1)[0][0] == "P0001"


def test_scarce_products_are_left_alone(plan):
    """Products that are out of stock by design would spoil the success ratio."""
    bought = {p for a in schedule(plan) for p, _ in a.items}

    assert not bought & {"P0499", "P0500"}


def test_corporate_customers_come_from_their_block(plan):
    """The firm's customers at home share its declared addresses."""
    corporate = [
        a
        for a in schedule(plan)
        if not a.away and int(a.customer_id.rsplit("-", 1)[1]) <= 10
    ]
    blocks = {"us": "198.51.100.", "eu": "203.0.113.", "asia": "203.0.113."}

    assert corporate
    assert all(a.client_ip.startswith(blocks[a.home]) for a in corporate)


def test_a_period_comes_again(plan_document):
    """Each period brings the same journeys at the same moments, under new numbers."""
    plan = Plan.from_json({**plan_document, "flash": [], "period_s": 12.5})
    periods = [
        [one for one in schedule(plan) if turn * 12.5 <= one.at_s < (turn + 1) * 12.5]
        for turn in range(5)
    ]
    told = [
        [
            (round(one.at_s % 12.5, 9), one.journey, one.customer_id, one.items)
            for one in them
        ]
        for them in periods
    ]

    assert told[0] == told[1] == told[2] == told[3]
    # The last one is cut at the end of the run.
    assert told[4] == [one for one in told[0] if one[0] < 10]
    numbers = [(one.journey, one.number) for them in periods for one in them]
    assert len(numbers) == len(set(numbers))


def test_without_a_period_nothing_comes_again(plan):
    """By default the whole run is drawn."""
    moments = [round(one.at_s % 10, 9) for one in schedule(plan)]

    assert len(moments) == len(set(moments))


def test_a_surge_brings_more_of_everything_while_it_lasts(plan_document):
    """Three times the journeys within it, and the same ones as ever around it."""
    surge = {"at_s": 20, "until_s": 40, "times": 3}
    calm = schedule(Plan.from_json({**plan_document, "flash": []}))
    drawn = schedule(Plan.from_json({**plan_document, "flash": [], "surges": [surge]}))
    within = [one for one in drawn if 20 <= one.at_s < 40]
    usual = [one for one in calm if 20 <= one.at_s < 40]

    assert {*calm} <= {*drawn}
    assert len(drawn) - len(within) == len(calm) - len(usual)
    assert 2.6 < len(within) / len(usual) < 3.4
    assert {"browse", "checkout"} == {one.journey for one in {*within} - {*usual}}


def test_contract_prices_are_read_by_firms_from_their_addresses(plan_document):
    """Only firms of the regions asked for, at home, behind their own block."""
    journey = {"name": "contract_prices", "rate": 5, "deadline_s": 4, "homes": ["us"]}
    drawn = schedule(Plan.from_json({**plan_document, "journeys": [journey]}))
    read = [one for one in drawn if one.journey == "contract_prices"]

    assert read
    assert {"us"} == {one.home for one in read} == {one.dialled for one in read}
    assert all(one.client_ip.startswith("198.51.100.") for one in read)
    assert all(int(one.customer_id.rsplit("-", 1)[1]) <= 10 for one in read)


def test_baskets_of_a_fixed_size(plan_document):
    """Every basket has as many different products as the plan says."""
    journey = {"name": "checkout", "rate": 5, "deadline_s": 4, "lines": 4}
    drawn = schedule(Plan.from_json({**plan_document, "journeys": [journey]}))
    baskets = [one.items for one in drawn if one.journey == "checkout"]

    assert {4} == {len({product for product, _ in basket}) for basket in baskets}
