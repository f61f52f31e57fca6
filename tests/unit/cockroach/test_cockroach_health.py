"""A region's breaker, suspicion and probes, on a clock that is told the time."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace

from cockroach.errors import DatabaseUnavailableError
from cockroach.health import RegionHealth
from cockroach.probe import Prober
from resilience import CallRefused


def call(health: RegionHealth, latency_s: float, *, ok: bool = True) -> None:
    health.record(health.permit(), ok=ok, latency_s=latency_s)


def test_slow_answers_open_the_breaker(health) -> None:
    """Four statements slower than 100 ms are enough, though all succeeded."""
    one = health()
    for _ in range(3):
        call(one, 0.4)
    assert one.state == "closed"
    call(one, 0.4)

    assert one.state == "open"


def test_only_the_opening_is_told(health, clock) -> None:
    """Statements that end later were under way: the prober is not disturbed by them."""
    opened: list[str] = []
    one = health(on_open=lambda it: opened.append(it.home))
    late = [one.permit() for _ in range(3)]
    for _ in range(4):
        call(one, 0.4)
    for ok in (True, False):
        one.record(late.pop(), ok=ok, latency_s=0.4)
    clock.advance(10)
    one.record(late.pop(), ok=True, latency_s=0.01)

    assert (one.state, opened) == ("open", ["eu"])


def test_an_open_breaker_refuses_at_once_and_says_so(health, listener) -> None:
    """The caller learns the region, the reason, and when to ask again."""
    one = health()
    for _ in range(4):
        call(one, 0.4)
    with pytest.raises(DatabaseUnavailableError) as told:
        one.admit()

    assert (told.value.region, told.value.reason) == ("eu", "breaker_open")
    assert told.value.retry_after_s == pytest.approx(0.03)
    assert [event.target for event in listener.of(CallRefused)] == ["database@eu"]


def test_statements_never_take_a_probes_permit(health, clock) -> None:
    """Once the open interval is over, callers are still refused."""
    one = health()
    for _ in range(4):
        call(one, 0.4)
    clock.advance(10)
    with pytest.raises(DatabaseUnavailableError):
        one.admit()

    assert one.permit() is None
    assert one.state == "open"


def test_a_distant_region_is_not_slow_for_being_distant(clock, policy) -> None:
    """The round trip to the region is allowed for."""
    far = RegionHealth("asia", policy(), rtt_s=0.22, clock=clock)
    for _ in range(8):
        call(far, 0.25)

    assert far.state == "closed"


def test_a_caller_that_left_late_has_seen_a_slow_statement(health) -> None:
    """Leaving says nothing about the region, unless it was slow by then."""
    one = health()
    for _ in range(8):
        one.left(one.permit(), after_s=0.05)
    assert one.state == "closed"
    for _ in range(4):
        one.left(one.permit(), after_s=0.2)

    assert one.state == "open"


@pytest.mark.parametrize(
    "values", [{"breaker": False}, {"gateway_choice": "round_robin_all"}]
)
def test_nothing_is_judged_without_a_breaker(health, values) -> None:
    """No breaker, or statements that go anywhere: nobody is refused."""
    one = health(**values)
    for _ in range(20):
        call(one, 0.4, ok=False)
    one.admit()

    assert one.state == "closed"


def test_suspicion_lasts_two_seconds(health, clock) -> None:
    """One slow statement makes a region suspect, a quick one or time clears it."""
    one = health()
    assert not one.suspect
    call(one, 0.4)
    assert one.suspect
    clock.advance(2.1)
    assert not one.suspect
    call(one, 0.4)
    call(one, 0.001)

    assert not one.suspect


async def test_the_prober_sends_exactly_n_and_closes(listener, policy, until) -> None:
    """Each half-open round has N probes; when all are quick the breaker closes."""
    closed: list[str] = []
    rounds: list[list[int]] = []
    ill = True

    async def ask(n: int) -> tuple[bool, float]:
        if n == 0:
            rounds.append([])
        rounds[-1].append(n)
        await asyncio.sleep(0)
        return True, 0.4 if ill else 0.001

    health = RegionHealth(
        "eu",
        policy(breaker_permits=2),
        rtt_s=0.0,
        clock=asyncio.get_running_loop().time,
        listener=listener,
    )
    prober = Prober(
        health,
        ask,
        tracer=trace.get_tracer("test"),
        attributes={},
        on_close=closed.append,
    )
    for _ in range(4):
        call(health, 0.4)
    prober.wake()
    prober.wake()
    await until(lambda: len(rounds) >= 3)
    assert health.state != "closed"
    ill = False
    await until(lambda: health.state == "closed")
    await until(lambda: bool(closed))

    assert [0, 1] == rounds[0] == rounds[-1]
    assert {len(one) for one in rounds} == {2}
    assert closed == ["eu"]
    assert ("half_open", "closed") == listener.transitions()[-1]
    assert ("closed", "open") == listener.transitions()[0]


async def test_a_stopped_prober_leaves_no_permit_out(policy) -> None:
    """Stopping in the middle of a probe gives its permit back."""
    asked = asyncio.Event()

    async def ask(_: int) -> tuple[bool, float]:
        asked.set()
        await asyncio.Event().wait()
        return True, 0.0

    health = RegionHealth(
        "eu", policy(), rtt_s=0.0, clock=asyncio.get_running_loop().time
    )
    prober = Prober(
        health,
        ask,
        tracer=trace.get_tracer("test"),
        attributes={},
        on_close=lambda _: None,
    )
    for _ in range(4):
        call(health, 0.4)
    prober.wake()
    await asyncio.wait_for(asked.wait(), 5)
    await prober.stop()

    assert health.breaker is not None
    assert len([health.breaker.acquire() for _ in range(2)]) == 2
