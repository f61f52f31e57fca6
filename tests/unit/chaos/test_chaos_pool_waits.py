"""A bound on waiting is seen only where somebody reached it."""

import pytest

from chaos.cures import CURES
from observability import names

BOUNDED = {"at_most_ms": 400, "waited_ms": 200, "min_waits": 3}
TOLD = {"at_most": 0, "within_ms": 250, "min_waits": 3}


def wait(world, at_s, ms, *, answered_ms, statement=False):
    """Somebody waits for a connection, and is answered so long after he came."""
    one = world.journey(at_s, answered_ms, name="history")
    root = world.spans[-1]
    world.span(names.SPAN_POOL_ACQUIRE, at_s, ms, kind="CLIENT", parent=root)
    if statement:
        world.sql("SELECT orders", at_s + ms / 1000, 120, parent=root)
    return one


@pytest.mark.parametrize(
    ("waits", "passed"),
    [
        ((250, 250, 260), True),
        ((250, 250, 260, 900), False),
        # Nobody came near the bound.
        ((20, 20, 20), False),
        ((), False),
    ],
)
def test_pool_waits_are_bounded(world, waits, passed):
    """The longest wait is short, and enough callers had to wait."""
    for n, ms in enumerate(waits):
        wait(world, 1021 + n, ms, answered_ms=ms + 10)

    found = CURES["pool_waits_are_bounded"](world.scene(), BOUNDED)
    assert found.passed is passed


@pytest.mark.parametrize(
    ("answered_ms", "count", "passed"),
    [(260, 3, True), (900, 3, False), (260, 2, False)],
)
def test_waiting_for_nothing_is_told(world, answered_ms, count, passed):
    """Who gets no connection has an answer soon, whatever it is."""
    for n in range(count):
        wait(world, 1021 + n, 250, answered_ms=answered_ms)

    found = CURES["waiting_for_nothing_is_told"](world.scene(), TOLD)
    assert found.passed is passed


@pytest.mark.parametrize(("told", "passed"), [(True, True), (False, False)])
def test_who_is_refused_is_told_when_to_come_again(world, told, passed):
    """One refusal without a time, of four that waited in vain, is one too many."""
    for n in range(3):
        wait(world, 1021 + n, 250, answered_ms=260)
    wait(world, 1025, 250, answered_ms=260)
    attributes = {names.RPC_STATUS: "RESOURCE_EXHAUSTED"}
    world.span(
        "shop.v1.Orders/ListOrders",
        1025,
        251,
        kind="SERVER",
        parent=world.spans[-1],
        attributes=attributes | ({names.RETRY_AFTER_MS: 800} if told else {}),
    )

    found = CURES["waiting_for_nothing_is_told"](world.scene(), TOLD)
    assert found.passed is passed


def test_whoever_got_a_connection_did_not_wait_in_vain(world):
    """A slow answer after a wait is the database's, and no refusal that came late."""
    for n in range(3):
        wait(world, 1021 + n, 250, answered_ms=260)
        wait(world, 1021 + n, 250, answered_ms=2000, statement=True)

    assert CURES["waiting_for_nothing_is_told"](world.scene(), TOLD).passed
