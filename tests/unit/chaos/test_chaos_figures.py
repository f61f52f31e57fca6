"""The table's numbers, from journeys alone."""

import pytest

from chaos import figures


def summed(world, when="during", group="all", **options):
    scene = world.scene()
    found = figures.groups(
        scene.journeys,
        scene.timeline,
        affected=lambda one: one.home == "eu",
        max_stale_ms=30_000,
        **options,
    )
    return found[group][when]


def test_a_block_counts_its_window_only(world):
    """What lived through any of the fault is the fault's; it is offered where sent."""
    world.journey(1012, 10)
    # Under way when the fault came: it failed in the fault, not before it.
    world.journey(1019, 10_000, outcome="failure")
    # Left hanging by the fault: its failure is not the recovery's either.
    world.journey(1039.9, 9000, outcome="failure")
    world.journey(1041, 10)

    before, during, after = (summed(world, w) for w in ("before", "during", "after"))
    assert (1, 1, 0.2) == (before.journeys, before.success_ratio, before.offered_rps)
    assert (2, 0, 0.05) == (during.journeys, during.success_ratio, during.offered_rps)
    assert (1, 1) == (after.journeys, after.success_ratio)
    assert after.offered_rps > 0


def test_rates_are_per_second_of_the_window(world):
    """Ten good journeys of twenty in twenty seconds."""
    for n in range(20):
        world.journey(1020 + n, outcome="success" if n % 2 else "failure")
    found = summed(world)

    assert (found.offered_rps, found.goodput_rps) == (1.0, 0.5)
    assert found.success_ratio == 0.5


def test_a_business_refusal_is_a_success(world):
    """Out of stock is an answer."""
    world.journey(1021, outcome="business")

    assert summed(world).success_ratio == 1


def test_degraded_counts_apart_and_only_when_good(world):
    """Less than asked for is a success of its own kind; a failure is no kind of it."""
    world.journey(1021, degraded=True)
    world.journey(1022, degraded=True, outcome="failure")
    world.journey(1023)
    found = summed(world)

    assert found.degraded_ratio == pytest.approx(1 / 3, abs=1e-5)


def test_too_stale_is_a_failure(world):
    """An answer older than thirty seconds is none."""
    world.journey(1021, degraded=True, stale_ms=30_001)

    assert summed(world).success_ratio == 0


def test_groups_part_by_home(world):
    """Affected is who has the home that is hit, wherever they dial."""
    world.journey(1021, home="eu", dialled="us")
    world.journey(1022, home="us", dialled="eu")
    world.journey(1023, home="us")

    assert summed(world, group="affected").journeys == 1
    assert summed(world, group="others").journeys == 2
    assert summed(world, group="others_at_home/checkout").journeys == 1


def test_an_empty_window_has_no_ratio(world):
    """Nobody came is not everybody failed."""
    world.journey(1021)
    found = summed(world, "after")

    assert (found.success_ratio, found.p95_ms, found.offered_rps) == (None, None, 0)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1, 100)]
)
def test_percentiles_are_nearest_rank(share, expected):
    """No value that nobody saw."""
    assert figures.percentile(range(1, 101), share) == expected


def recovery(world):
    return figures.recovery_s(
        world.journeys,
        gone_s=1040,
        end_s=1052,
        success_ratio=0.995,
        p95_ms=750,
        max_stale_ms=30_000,
    )


@pytest.mark.parametrize(
    ("bad_seconds", "expected"),
    [((), 0), ((0, 1), 2), ((0, 3), 4), ((2,), 3), (range(10), None)],
)
def test_recovery_is_the_first_of_three_good_seconds(world, bad_seconds, expected):
    """Two good seconds between bad ones are luck."""
    for second in range(12):
        ms = 5000 if second in bad_seconds else 20
        for n in range(5):
            world.journey(1040 + second + n / 10, ms)

    assert recovery(world) == expected


def test_silence_is_no_recovery(world):
    """A second without customers proves nothing."""
    world.journey(1040.5)
    world.journey(1044.5)

    assert recovery(world) is None


def test_every_second_has_a_row(world):
    """The plot has no holes."""
    world.journey(1021.5)
    scene = world.scene()
    rows = figures.per_second(scene.journeys, scene.timeline, max_stale_ms=30_000)

    assert len(rows) == 52
    assert rows[21]["journeys"] == 1
