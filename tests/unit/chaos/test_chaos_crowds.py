"""What a crowd does to a database, with coalescing, with the lease, and without."""

import pytest

from chaos.cures import CURES


def check(name, world, **bounds):
    return CURES[name](world.scene(), bounds)


def crowd(world, loads_together):
    world.flashes = (1030.0,)
    for n in range(60):
        world.journey(1030 + n / 1000, name="flash", home="us")
    for instance in ("catalog-us-a", "catalog-us-b"):
        for n in range(loads_together):
            world.sql(
                "SELECT products", 1030.01 + n / 1000, 400, key="", instance=instance
            )


def test_one_load_per_process(world):
    """Two processes may load at the same time, each once."""
    crowd(world, 1)

    assert check("one_load_per_process", world, at_most=1, min_readers=60).passed


def test_two_loads_in_one_process_are_a_herd(world):
    """Without coalescing the readers of one process all load."""
    crowd(world, 2)
    found = check("one_load_per_process", world, at_most=1)

    assert not found.passed
    assert found.observed == 2
    assert found.trace_ids


def test_no_crowd_proves_nothing(world):
    """A single load is no merit when nobody came."""
    world.flashes = (1030.0,)

    assert not check("one_load_per_process", world, at_most=1).passed


@pytest.mark.parametrize(
    ("instances", "apart_ms", "observed"),
    [
        (["catalog-us-a"], 0, 1),
        # Never at the same time, and yet each process asked for itself.
        (["catalog-us-a", "catalog-us-b"], 500, 2),
        # One process that loads twice at once.
        (["catalog-us-a", "catalog-us-a"], 1, 2),
    ],
)
def test_one_load_per_region(world, instances, apart_ms, observed):
    """With the lease one process of a region loads, and one at a time."""
    world.flashes = (1030.0,)
    for n, instance in enumerate(instances):
        world.sql(
            "SELECT products",
            1030.01 + n * apart_ms / 1000,
            5,
            key="front page",
            instance=instance,
        )
    world.sql("SELECT products", 1030.01, 5, key="front page", region="eu")
    found = check("one_load_per_region", world, at_most=1)

    assert found.observed == observed
    assert found.passed is (observed == 1)


def test_a_page_that_nobody_loads_proves_no_lease(world):
    """After an expiry somebody has to load."""
    world.flashes = (1030.0,)

    assert not check("one_load_per_region", world, at_most=1).passed


@pytest.mark.parametrize(("asking", "passed"), [(3, True), (4, False)])
def test_few_readers_reach_the_database(world, asking, passed):
    """Readers are counted by their first statement; checkouts are none of them."""
    world.flashes = (1030.0,)
    for n in range(60):
        one = world.journey(1030 + n / 1000, name="flash", home="us")
        if n < asking:
            world.sql("SELECT products", 1030.06 + n / 1000, trace=one.trace_id)
            world.sql("SELECT products", 1030.09, trace=one.trace_id)
    for _ in range(9):
        one = world.journey(1030.05)
        world.sql("INSERT orders", 1030.07, trace=one.trace_id)
    found = check("few_readers_reach_the_database", world, at_most=3, min_readers=60)

    assert found.observed == asking
    assert found.passed is passed
