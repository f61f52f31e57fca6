"""Each cure is seen where it works; take it away, or fake it, and the check is red."""

import pytest

from chaos.cures import ACCEPT_INTAKE, CURES, INSERT_INTAKE
from observability import names

METHOD = "shop.v1.Inventory/BatchReserve"
INTAKE = ("PAYMENT_PENDING:INTAKE_US",)


def check(name, world, **bounds):
    return CURES[name](world.scene(), bounds)


@pytest.mark.parametrize(
    ("between", "histories", "passed"),
    [(0, 10, True), (1, 10, False), (None, 10, False), (0, 9, False)],
)
def test_gateways_ask_no_other_region(world, between, histories, passed):
    """No trip between the servers, told apart by the links, with histories read."""
    world.trips_between_regions(100, between_gateways=between)
    for n in range(histories):
        world.journey(1021 + n, name="history", home="us")
    for n in range(9):
        world.journey(1021 + n, name="history", degraded=True)
    found = check("gateways_ask_no_other_region", world, at_most=0, min_histories=10)

    assert found.passed is passed


@pytest.mark.parametrize(
    ("at_s", "passed"), [(1005.0, True), (1012.0, False), (1030.0, False)]
)
def test_pools_are_warm(world, at_s, passed):
    """Connections opened in the exercise are no matter, later ones are."""
    world.span(names.SPAN_CONNECT, at_s, 900, kind="CLIENT")

    assert check("pools_are_warm", world, at_most=0).passed is passed


@pytest.mark.parametrize(
    ("reason", "ms", "sql", "passed"),
    [
        ("FALLBACK:HISTORY_FROM_MEMORY", 10, False, True),
        ("STALE:HISTORY_FROM_COPY", 10, False, True),
        ("STALE:CACHE_STALE", 10, False, False),
        ("", 10, False, False),
        ("FALLBACK:HISTORY_FROM_MEMORY", 900, False, False),
        # Marked as remembered, and yet asked of the slow database.
        ("FALLBACK:HISTORY_FROM_MEMORY", 10, True, False),
    ],
)
def test_histories_fall_back(world, reason, ms, sql, passed):
    """Marked, quick, and without a statement to the database that is slow."""
    for n in range(4):
        one = world.journey(
            1022 + n,
            ms,
            name="history",
            degraded=bool(reason),
            degraded_reasons=(reason,) if reason else (),
        )
        if sql:
            world.sql("SELECT orders", 1022 + n, gateway="eu", trace=one.trace_id)

    assert check("histories_fall_back", world, at_least=3).passed is passed


@pytest.mark.parametrize(("sent", "passed"), [(2, True), (3, False), (0, False)])
def test_probes_are_exact(world, sent, passed):
    """A round sends its permits, not one more; without a round nothing is proven."""
    world.sql("SELECT orders", 1025, gateway="eu", trace="b" * 32)
    for _ in range(sent):
        world.sql(
            "SELECT 1", 1025, gateway="eu", key="probe", probe=True, trace="a" * 32
        )

    assert check("probes_are_exact", world, permits=2).passed is passed


def stale(world, *, count=30, ms=10, stale_ms=5000):
    for n in range(count):
        world.journey(
            1021 + n / 10,
            ms,
            name="browse",
            degraded=True,
            degraded_reasons=("STALE:FRONT_PAGE",),
            stale_ms=stale_ms,
        )


def test_stale_copies_served(world):
    """Readers get the last good copy at once, with its age."""
    stale(world)

    assert check("stale_copies_served", world, at_least=20).passed


@pytest.mark.parametrize(
    "cheat", [{"stale_ms": 31_000}, {"ms": 2000}, {"count": 3}], ids=str
)
def test_stale_copies_that_are_no_cure(world, cheat):
    """Too old, too slow, or hardly any."""
    stale(world, **cheat)

    assert not check("stale_copies_served", world, at_least=20).passed


def intake(world, *, region="us", gateway="us", sql=True, count=25, late=False):
    for n in range(count):
        at_s = 1021 + n / 2
        one = world.journey(at_s, 100, degraded=True, degraded_reasons=INTAKE)
        served = world.span(
            ACCEPT_INTAKE,
            at_s,
            90,
            kind="SERVER",
            region=region,
            trace=one.trace_id,
        )
        if sql:
            at = at_s + (5 if late else 0.01)
            world.sql(INSERT_INTAKE, at, 5, gateway=gateway, parent=served)


def test_orders_taken_elsewhere(world):
    """The commit in the other region's intake is in the trace, before the answer."""
    intake(world)
    found = check("orders_taken_elsewhere", world, at_least=20)

    assert found.passed
    assert found.observed == 25


@pytest.mark.parametrize(
    "cheat",
    [{"sql": False}, {"region": "eu"}, {"gateway": "eu"}, {"late": True}, {"count": 2}],
    ids=str,
)
def test_an_intake_in_name_only(world, cheat):
    """No statement, the sick region's own, after the answer, or hardly any."""
    intake(world, **cheat)

    assert not check("orders_taken_elsewhere", world, at_least=20).passed


def test_one_unsupported_claim_spoils_it(world):
    """A fallback that is marked without being served is a lie."""
    intake(world)
    world.journey(1035, degraded=True, degraded_reasons=INTAKE)

    assert not check("orders_taken_elsewhere", world, at_least=20).passed


@pytest.mark.parametrize(("statements", "passed"), [(1, True), (3, False)])
def test_slow_database_left_alone(world, statements, passed):
    """One statement may find out; three are a habit. Probes are not the checkout's."""
    one = world.journey(1025)
    for _ in range(statements):
        world.sql("INSERT orders", 1025, 400, gateway="eu", trace=one.trace_id)
    world.sql("SELECT 1", 1025, 400, gateway="eu", trace=one.trace_id, probe=True)

    assert check("slow_database_left_alone", world, at_most=1).passed is passed


def breaker(world, *, opened=1021.5, closed=1041.0, processes=3):
    for n in range(processes):
        instance = f"orders-us-{n}"
        for at_s in (1020.1, 1020.2, 1020.3, 1020.4):
            world.sql("SELECT orders", at_s, 400, gateway="eu", instance=instance)
        if opened:
            world.breaker(opened, "closed", "open", instance=instance)
            world.breaker(opened + 1, "open", "half_open", instance=instance)
            world.breaker(opened + 1.5, "half_open", "open", instance=instance)
        if opened and closed:
            world.breaker(closed, "half_open", "closed", instance=instance)


def test_breakers_open_and_close_in_time(world):
    """Open once within three seconds, probe, close within two after the fault."""
    breaker(world)

    assert check("breakers_open_in_time", world, at_least=2, within_s=3).passed
    assert check("breakers_close_in_time", world, within_s=2).passed


@pytest.mark.parametrize("when", [None, 1026.0])
def test_breakers_that_open_late_or_never(world, when):
    """Who has seen four slow answers must know."""
    breaker(world, opened=when)

    assert not check("breakers_open_in_time", world, at_least=2, within_s=3).passed


@pytest.mark.parametrize(
    ("apart_s", "passed"),
    [
        # Four slow answers were seen within three seconds, and it opened ten later.
        (0.5, False),
        # It never saw so many together: nobody may call it late.
        (2.0, True),
    ],
)
def test_who_asks_rarely_is_not_called_late(world, apart_s, passed):
    """Late counts from four slow statements that the breaker saw at one time."""
    breaker(world)
    for n in range(5):
        at_s = 1021 + n * apart_s
        world.sql("SELECT products", at_s, 400, gateway="eu", instance="catalog-eu-a")
    world.breaker(1035, "closed", "open", instance="catalog-eu-a")
    bounds = {"at_least": 2, "within_s": 3, "watched_s": 3}

    assert check("breakers_open_in_time", world, **bounds).passed is passed


def test_a_breaker_that_opens_twice(world):
    """Closing in the middle of the fault is not having noticed it."""
    breaker(world)
    world.breaker(1030, "half_open", "closed", instance="orders-us-0")
    world.breaker(1031, "closed", "open", instance="orders-us-0")

    assert not check("breakers_open_in_time", world, at_least=2, within_s=3).passed
    assert not check("breakers_close_in_time", world, within_s=2).passed


def test_a_process_with_few_calls_may_learn_later(world):
    """Its own fourth slow statement starts its clock."""
    breaker(world)
    for at_s in (1021, 1024, 1027, 1030):
        world.sql("SELECT orders", at_s, 400, gateway="eu", instance="cart-us-a")
    world.breaker(1030.5, "closed", "open", instance="cart-us-a")

    assert check("breakers_open_in_time", world, at_least=2, within_s=3).passed


@pytest.mark.parametrize(("apart_s", "passes"), [(5, True), (0.5, False)])
def test_a_breaker_looks_back_no_further_than_its_window(world, apart_s, passes):
    """Four slow statements spread wider than the window open nothing, rightly."""
    breaker(world)
    for number in range(4):
        at_s = 1021 + number * apart_s
        world.sql("SELECT orders", at_s, 400, gateway="eu", instance="cart-us-a")

    bounds = {"at_least": 2, "within_s": 3, "watched_s": 3}
    assert passes == check("breakers_open_in_time", world, **bounds).passed


@pytest.mark.parametrize("closed", [1045.0, None])
def test_breakers_that_close_late_or_never(world, closed):
    """The shop is well and its processes do not know."""
    breaker(world, closed=closed)

    assert not check("breakers_close_in_time", world, within_s=2).passed


def test_no_breaker_proves_nothing(world):
    """Nothing opened, so nothing was left alone."""
    assert not check("breakers_close_in_time", world, within_s=2).passed
    assert not check("no_statements_while_open", world, at_most=0).passed


@pytest.mark.parametrize(
    ("instance", "gateway", "probe", "passed"),
    [
        ("orders-us-0", "eu", False, False),
        ("orders-us-0", "eu", True, True),
        ("orders-us-0", "us", False, True),
        ("browse-us-0", "eu", False, True),
    ],
)
def test_no_statements_while_open(world, instance, gateway, probe, passed):
    """An open breaker is believed when the statements really stop."""
    breaker(world)
    world.sql("SELECT x", 1025, 400, gateway=gateway, instance=instance, probe=probe)

    assert check("no_statements_while_open", world, at_most=0).passed is passed


@pytest.mark.parametrize(
    ("name", "passed"),
    [("database@us", False), ("orders@asia", False), ("orders@eu", True)],
)
def test_healthy_breakers_stay_closed(world, name, passed):
    """A breaker towards a healthy region has no reason to open."""
    breaker(world)
    world.breaker(1025, "closed", "open", name=name)

    assert check("healthy_breakers_stay_closed", world, at_most=0).passed is passed


@pytest.mark.parametrize(("ms", "passed"), [(1100, True), (3000, False)])
def test_nothing_after_caller_left(world, ms, passed):
    """The statement on the wire may come back; nothing else may go on."""
    call = world.call(METHOD, 1021, ms=1000, status="ERROR")
    call.attributes[names.RPC_STATUS] = "DEADLINE_EXCEEDED"
    world.sql("SELECT stock", 1021, ms, parent=call)

    assert check("nothing_after_caller_left", world, at_most=0).passed is passed


@pytest.mark.parametrize(("callee_ms", "passed"), [(1_800, True), (9_000, False)])
def test_deadlines_shrink(world, callee_ms, passed):
    """No callee may have more than its caller."""
    caller = world.span(
        "a", 1021, kind="SERVER", attributes={names.DEADLINE_REMAINING_MS: 2_000}
    )
    world.span(
        "b",
        1021.05,
        parent=caller,
        kind="SERVER",
        attributes={names.DEADLINE_REMAINING_MS: callee_ms},
    )

    assert check("deadlines_shrink", world, at_most=0).passed is passed


def test_untold_deadlines_prove_nothing(world):
    """Without a deadline on any server span there is nothing to compare."""
    world.call(METHOD, 1021)

    assert not check("deadlines_shrink", world, at_most=0).passed


@pytest.mark.parametrize(("attempts", "passed"), [(1, True), (3, False)])
def test_retries_within_budget(world, attempts, passed):
    """Attempts are counted at the callee."""
    for n in range(20):
        world.call(METHOD, 1021 + n / 10, attempts=attempts)

    assert check("retries_within_budget", world, at_most=1.1).passed is passed


@pytest.mark.parametrize(("during_ms", "passed"), [(35, True), (90, False)])
def test_others_notice_nothing(world, during_ms, passed):
    """Customers at home elsewhere compare their own waits; the away do not count."""
    for n in range(20):
        world.journey(1011 + n / 10, 20, home="us")
        world.journey(1021 + n / 10, during_ms, home="us")
        world.journey(1021 + n / 10, 900, home="us", dialled="asia")
        world.journey(1021 + n / 10, 900, home="eu")

    assert check("others_notice_nothing", world, times=1.2, plus_ms=20).passed is passed


def test_a_handful_of_others_says_nothing(world):
    """The p95 of a few is their slowest; such a journey is not compared."""
    for n in range(20):
        world.journey(1011 + n / 10, 20, home="us")
        world.journey(1021 + n / 10, 21, home="us")
    world.journey(1012, 10, name="history", home="us")
    world.journey(1022, 500, name="history", home="us")
    bounds = {"times": 1.2, "plus_ms": 20}

    assert check("others_notice_nothing", world, min_journeys=20, **bounds).passed
    assert not check("others_notice_nothing", world, **bounds).passed
