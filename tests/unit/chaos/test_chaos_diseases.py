"""Each disease is seen where it is, and not seen where it is not."""

import pytest

from chaos.diseases import DISEASES
from observability import names

METHOD = "shop.v1.Inventory/Reserve"


def check(name, world, **bounds):
    return DISEASES[name](world.scene(), bounds)


def test_statements_cross_regions(world):
    """Trips that the links counted and spans tell of are the checkouts'."""
    for n in range(10):
        one = world.journey(1021 + n)
        world.sql("SELECT stock", 1021 + n, gateway="asia", trace=one.trace_id)
    world.trips_between_regions(40)
    found = check("statements_cross_regions", world, at_least=3)

    assert found.passed
    assert found.observed == 4
    assert found.trace_ids


def test_statements_at_home_do_not_cross(world):
    """A statement to the gateway next door is no trip."""
    for n in range(10):
        one = world.journey(1021 + n)
        world.sql("SELECT stock", 1021 + n, gateway="us", trace=one.trace_id)
    world.trips_between_regions(0)

    assert not check("statements_cross_regions", world, at_least=3).passed


def test_trips_without_spans_do_not_convince(world):
    """Links that count what no span shows are not enough, nor the other way."""
    world.journey(1021)
    world.trips_between_regions(40)
    without_spans = check("statements_cross_regions", world, at_least=3)
    for _ in range(5):
        world.sql("SELECT stock", 1021, gateway="eu", trace=world.journeys[0].trace_id)
    world.trips_between_regions(0)

    assert not without_spans.passed
    assert not check("statements_cross_regions", world, at_least=3).passed


@pytest.mark.parametrize(("statements", "passed"), [(12, True), (5, False)])
def test_chatty_checkout(world, statements, passed):
    """The median successful checkout makes many statements; BEGIN is none."""
    for n in range(3):
        one = world.journey(1012 + n)
        for _ in range(statements):
            world.sql("BEGIN", 1012 + n, trace=one.trace_id)
            world.sql("SELECT products", 1012 + n, trace=one.trace_id)

    assert check("chatty_checkout", world, at_least=10).passed is passed


@pytest.mark.parametrize(("apart_s", "passed"), [(0.001, True), (1.0, False)])
def test_identical_loads_pile_up(world, apart_s, passed):
    """Equal loads count when they overlap, not when they follow each other."""
    for n in range(25 if apart_s < 1 else 15):
        world.sql("SELECT products", 1021 + n * apart_s, 400, key="front")

    assert check("identical_loads_pile_up", world, at_least=20).passed is passed


@pytest.mark.parametrize(("at_s", "passed"), [(1040.1, True), (1045, False)])
def test_the_crowd_at_the_faults_end_is_a_herd_of_the_fault(world, at_s, passed):
    """It comes as the fault is taken off; who comes later is not the fault's."""
    for _ in range(25):
        world.sql("SELECT products", at_s, 400, key="front")

    assert check("identical_loads_pile_up", world, at_least=20).passed is passed


def test_different_keys_are_no_herd(world):
    """Forty readers of forty keys do not ask the same question."""
    for n in range(40):
        world.sql("SELECT products", 1021, 400, key=f"key{n}")

    assert not check("identical_loads_pile_up", world, at_least=20).passed


@pytest.mark.parametrize(("attempts", "passed"), [(3, True), (1, False)])
def test_attempts_amplify(world, attempts, passed):
    """What the callee served is counted, not what the caller says it sent."""
    for n in range(20):
        world.call(METHOD, 1021 + n / 10, attempts=attempts)
    found = check("attempts_amplify", world, at_least=1.2, min_calls=20)

    assert found.passed is passed
    assert found.observed == attempts


def test_refused_attempts_do_not_amplify(world):
    """Attempts that never reached the callee cost it nothing."""
    for n in range(20):
        call = world.call(METHOD, 1021 + n / 10)
        for _ in range(5):
            world.span("attempt", 1021, parent=call, kind="CLIENT")

    assert not check("attempts_amplify", world, at_least=1.2).passed


@pytest.mark.parametrize(("ms", "passed"), [(3000, True), (1100, False)])
def test_work_after_caller_left(world, ms, passed):
    """A statement that runs on for seconds after its caller gave up."""
    for n in range(10):
        call = world.call(METHOD, 1021 + n, ms=1000, status="ERROR")
        call.attributes[names.RPC_STATUS] = "DEADLINE_EXCEEDED"
        world.sql("SELECT stock", 1021 + n, ms, parent=call)
    found = check("work_after_caller_left", world, at_least=10, later_than_ms=600)

    assert found.passed is passed


def deadlines(world, caller_ms, callee_ms, count=10):
    for n in range(count):
        attributes = {names.DEADLINE_REMAINING_MS: caller_ms}
        caller = world.span(
            "shop.v1.Storefront/Checkout", 1021, kind="SERVER", attributes=attributes
        )
        call = world.span(METHOD, 1021 + n / 100, parent=caller, kind="CLIENT")
        world.span(
            METHOD,
            1021 + n / 100,
            parent=call,
            kind="SERVER",
            attributes={names.DEADLINE_REMAINING_MS: callee_ms},
        )


@pytest.mark.parametrize(("callee_ms", "passed"), [(10_000, True), (1_800, False)])
def test_deadlines_do_not_shrink(world, callee_ms, passed):
    """A callee with ten seconds under a caller with two."""
    deadlines(world, 2_000, callee_ms)

    assert check("deadlines_do_not_shrink", world, at_least=10).passed is passed


@pytest.mark.parametrize(("ms", "passed"), [(900, True), (20, False)])
def test_connections_run_out(world, ms, passed):
    """Long waits for a connection, in the fault."""
    for n in range(10):
        world.span(names.SPAN_POOL_ACQUIRE, 1021 + n, ms)

    found = check("connections_run_out", world, at_least=10, longer_than_ms=500)

    assert found.passed is passed


@pytest.mark.parametrize(("ms", "passed"), [(4000, True), (30, False)])
def test_queue_outlives_fault(world, ms, passed):
    """Customers who come after the fault and wait all the same."""
    for n in range(6):
        world.journey(1041 + n, ms)

    assert check("queue_outlives_fault", world, at_least=5).passed is passed
