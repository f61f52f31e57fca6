"""How long work waits before it begins: loops that lag, pools whose queue stands."""

import asyncio
import gc
import random
from collections import deque

import pytest

from resilience import AdaptiveLimiter, Criticality, LimitConfig, LoopLag
from resilience._lag import ARRIVED, StandingQueue, queue_delay
from resilience._limits import FixedConfig
from resilience._shedding import Shedder, SheddingConfig
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


@pytest.mark.parametrize(
    ("delays", "expected"),
    [
        pytest.param([0.03] * 10, True, id="all wait"),
        pytest.param([0.03] * 9 + [0.0], False, id="one met an empty queue"),
        pytest.param([0.02] * 10, False, id="the target itself"),
        pytest.param([], False, id="nobody came"),
    ],
)
def test_a_queue_stands_where_even_the_least_wait_is_long(delays, expected):
    """CoDel: the least delay of an interval is judged, not the mean nor the worst."""
    clock = FakeClock()
    queue = StandingQueue(target_s=0.02, interval_s=0.1, clock=clock)
    for delay in delays:
        queue.record(delay)
    assert not queue.overloaded
    clock.advance(0.1)

    assert expected is queue.overloaded


def test_a_queue_that_nobody_joins_is_empty():
    """An interval without any call ends the overload, whether or not one looked."""
    clock = FakeClock()
    queue = StandingQueue(target_s=0.02, interval_s=0.1, clock=clock)
    queue.record(1.0)
    clock.advance(0.1)
    assert "<StandingQueue stands>" == repr(queue)
    clock.advance(0.1)

    assert "<StandingQueue empties>" == repr(queue)
    queue.record(1.0)
    clock.advance(0.25)
    assert not queue.overloaded


def _pool(threads, service_s, rate, seconds, criticality):
    """Offer calls to a pool below its limit; return how many were served, and waits."""
    clock, rng = FakeClock(), random.Random(4)
    limiter = AdaptiveLimiter(
        "server", LimitConfig(algorithm=FixedConfig(limit=threads * 2)), clock=clock
    )
    shedder = Shedder(limiter, SheddingConfig(), clock=clock, rng=rng)
    arrivals = deque(sorted(rng.uniform(0, seconds) for _ in range(rate * seconds)))
    free = [0.0] * threads
    served, waits = [], []
    while arrivals:
        # First come, first served, by the thread that is free first.
        arrived = arrivals.popleft()
        free.sort()
        begun = max(arrived, free[0])
        clock.now = max(clock.now, begun)
        place = shedder.admit(criticality, waited_s=begun - arrived)
        waits.append((arrived, begun - arrived))
        if place is None:
            # A refusal takes its thread some time too.
            free[0] = begun + service_s / 100
            continue
        limiter.release(place, "ignored")
        free[0] = begun + service_s
        served.append(begun)
    return len(served), [wait for at, wait in waits if at > seconds / 2]


@pytest.mark.parametrize("criticality", [Criticality.CRITICAL, Criticality.SHEDDABLE])
def test_a_pool_smaller_than_the_limit_is_kept_from_filling_its_queue(criticality):
    """At twice the capacity waits stay short, and nine tenths of it is used."""
    served, waits = _pool(10, 0.01, 2000, 10, criticality)

    assert served >= 0.9 * 1000 * 10
    assert sorted(waits)[len(waits) // 2] <= 0.1


def test_a_pool_with_room_sheds_nobody():
    """At 80 % of the capacity everybody is served."""
    served, _ = _pool(10, 0.01, 800, 10, Criticality.SHEDDABLE)

    assert 800 * 10 == served


def test_the_most_critical_are_served_from_a_standing_queue():
    """A queue that stands sheds no CRITICAL_PLUS call."""
    served, _ = _pool(10, 0.01, 2000, 2, Criticality.CRITICAL_PLUS)

    assert 2000 * 2 == served


def test_what_waited_for_a_thread_is_told_by_its_arrival():
    """The delay is the time since the stamp, 0 without one or with one to come."""
    assert 0.0 == queue_delay(5.0)
    token = ARRIVED.set(3.0)
    try:
        assert 2.0 == queue_delay(5.0)
        assert 0.0 == queue_delay(1.0)
    finally:
        ARRIVED.reset(token)


async def _until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.002)
    pytest.fail("it never came")


async def test_a_busy_loop_shows_in_its_lag():
    """A timer that is overdue counts at once, and for two intervals after it fired."""
    clock = FakeClock()
    lag = LoopLag(interval_s=0.001, clock=clock)
    assert 0.0 == lag.seconds
    lag.watch()
    clock.advance(0.501)
    assert lag.seconds == pytest.approx(0.5)
    await _until(lambda: lag._due > clock())
    assert lag.seconds == pytest.approx(0.5)
    await _until(lambda: lag.seconds == 0.0)
    lag.stop()


def test_a_loop_that_is_gone_lags_no_more():
    """After the loop's end the lag is 0, and the next loop begins with none."""
    clock = FakeClock()
    lag = LoopLag(interval_s=0.001, clock=clock)

    async def watch():
        lag.watch()
        clock.advance(9.0)
        await _until(lambda: lag._due > clock())
        assert lag.seconds > 8

    async def again():
        lag.watch()
        assert 0.0 == lag.seconds

    asyncio.run(watch())
    clock.advance(60.0)
    assert 0.0 == lag.seconds
    asyncio.run(again())


async def test_a_stopped_lag_sets_no_more_timers():
    """Stopping ends the timer; so does forgetting the object."""
    lag = LoopLag(interval_s=0.001)
    lag.watch()
    timer = lag._timer
    lag.stop()
    assert timer.cancelled()
    assert 0.0 == lag.seconds
    lag.watch()
    timer = lag._timer
    del lag
    gc.collect()
    await _until(lambda: timer.when() < asyncio.get_running_loop().time())
    await asyncio.sleep(0)
    assert not any(isinstance(thing, LoopLag) for thing in gc.get_objects())
