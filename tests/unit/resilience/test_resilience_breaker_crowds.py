"""The breaker between threads and tasks, and what its listeners may do to it."""

import asyncio
import random
import threading
import time

import pybreaker
import pytest

from resilience import BreakerChanged, BreakerConfig, CircuitBreaker, CircuitOpenError
from resilience._outcome import HEALTHY_CODES

pytestmark = pytest.mark.resilience


def _half_open(machine, permits):
    m = machine(half_open_permits=permits)
    m.feed("FFFSS")
    m.clock.advance(6)
    return m


def _rush(count, do, patience_s=20):
    """Let *count* threads do it together; return the results that are not None."""
    barrier, results = threading.Barrier(count), []

    def run():
        barrier.wait(20)
        result = do()
        if result is not None:
            results.append(result)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    # A copy: who comes too late is not counted.
    return list(results)


def _try(breaker):
    try:
        return breaker.acquire()
    except CircuitOpenError:
        return None


@pytest.mark.parametrize("permits", [1, 4, 10])
def test_a_thousand_threads_half_open_admit_exactly_the_permits(machine, permits):
    """A thousand threads meet a half-open breaker; N are trials, N close it."""
    m = _half_open(machine, permits)

    trials = _rush(1000, lambda: _try(m.breaker))

    assert permits == len(trials)
    assert 1000 - permits == m.breaker.metrics().not_permitted
    for permit in trials:
        m.breaker.record(permit, ok=True, latency_s=0.1)
    assert "closed" == m.breaker.state


@pytest.mark.parametrize("permits", [1, 4, 10])
def test_a_thousand_tasks_half_open_admit_exactly_the_permits(machine, permits):
    """The same of tasks, of which half are cancelled: their trials are made again."""
    m = _half_open(machine, permits)
    admitted, out, most = [], 0, 0

    async def call(number):
        nonlocal out, most
        await asyncio.sleep(0)
        permit = _try(m.breaker)
        if permit is None:
            return
        admitted.append(number)
        out += 1
        most = max(most, out)
        await asyncio.sleep(0)
        out -= 1
        m.breaker.settle(permit, "CANCELLED", latency_s=0.1, cancelled_by="caller")

    async def run():
        await asyncio.gather(*(call(number) for number in range(1000)))

    asyncio.run(run())

    assert permits == most
    assert permits == len(admitted)
    assert "half_open" == m.breaker.state
    assert permits == sum(_try(m.breaker) is not None for _ in range(50))


def test_callers_hold_their_permits_at_once(machine):
    """No caller waits for another's call: fifty threads are inside together."""
    m = machine()
    inside = threading.Barrier(50)

    def call():
        permit = m.breaker.acquire()
        inside.wait(20)
        m.breaker.record(permit, ok=True, latency_s=0.1)
        return permit

    assert 50 == len(_rush(50, call))
    assert 50 == m.breaker.metrics().calls


def test_a_closed_acquire_waits_for_no_lock(machine):
    """Somebody inside the breaker's lock does not hold up who is let through."""
    m = machine()
    held, done = threading.Event(), threading.Event()

    def hold():
        with m.breaker._lock:
            held.set()
            done.wait(50)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    permits = _rush(4, m.breaker.acquire, patience_s=5)
    done.set()
    holder.join(20)

    assert 4 == len(permits)


def test_who_opens_the_half_that_is_pybreakers_opens_it_all(machine):
    """`breaker.circuit.open()` is followed by the very next caller."""
    m = machine()
    m.breaker.circuit.open()

    with pytest.raises(CircuitOpenError):
        m.breaker.acquire()
    assert [("closed", "open")] == m.listener.transitions()


def test_events_of_two_threads_are_told_in_order(machine):
    """A change that happens while another is being told waits for its turn."""
    m = machine()
    telling, go_on, heard = threading.Event(), threading.Event(), []

    class Slow:
        def on_event(self, event):
            if event.new == "open":
                telling.set()
                go_on.wait(20)
            heard.append((event.old, event.new))

    m.breaker._listener = Slow()
    first = threading.Thread(target=m.breaker.open)
    first.start()
    telling.wait(20)
    m.breaker.half_open()
    m.breaker.close()
    go_on.set()
    first.join(20)

    assert [("closed", "open"), ("open", "half_open"), ("half_open", "closed")] == heard


def test_a_listener_may_use_the_breaker_it_hears(machine):
    """From inside an event the breaker can be asked, and told to change again."""
    m = machine()
    heard = []

    class Eager:
        def on_event(self, event):
            heard.append((event.new, m.breaker.state))
            if event.new == "open":
                m.breaker.close()

    m.breaker._listener = Eager()
    m.breaker.open()

    assert [("open", "open"), ("closed", "closed")] == heard


class _Broken(pybreaker.CircuitBreakerListener):
    def success(self, cb):
        raise RuntimeError("broken")

    def failure(self, cb, exc):
        raise RuntimeError("broken")

    def state_change(self, cb, old_state, new_state):
        raise RuntimeError("broken")


def test_a_pybreaker_listener_that_raises_fails_no_call(machine, caplog):
    """It is logged, and the breaker opens, half-opens and closes all the same."""
    m = machine()
    m.breaker.circuit.add_listeners(_Broken())
    m.feed("FFFSS")
    assert "open" == m.breaker.state
    m.clock.advance(6)
    m.feed("SSSS")

    assert "closed" == m.breaker.state
    assert "a listener of circuit payments failed" in caplog.text
    assert 3 == len(m.listener.of(BreakerChanged))


def test_the_open_interval_is_spread_and_never_above_its_cap():
    """With jitter no two breakers need come back together, nor later than the cap."""
    waits = []
    config = BreakerConfig(
        open_s=1.0, open_factor=2.0, open_max_s=6.0, open_jitter=0.5, min_calls=1
    )
    for seed in range(300):
        breaker = CircuitBreaker("x", config, rng=random.Random(seed))
        breaker.open()
        for _ in range(4):
            breaker.half_open()
            breaker.record(_trial(breaker), ok=False, latency_s=0.1)
        waits.append(breaker.retry_after_s)

    assert max(waits) <= 6.0
    assert max(waits) > 5.5
    assert min(waits) < 2.5
    # A cap that only cuts off would leave many at exactly the same moment.
    assert len({round(wait, 3) for wait in waits}) > 250


def test_the_cap_holds_where_the_first_interval_is_the_cap():
    """Jitter only ever shortens an interval that is as long as the longest."""
    config = BreakerConfig(open_s=6.0, open_max_s=6.0, open_jitter=0.5)
    for seed in range(50):
        breaker = CircuitBreaker("x", config, rng=random.Random(seed))
        breaker.open()

        assert 2.9 < breaker.retry_after_s <= 6.0


def _trial(breaker):
    permit = breaker.acquire()
    for _ in range(breaker.config.half_open_permits - 1):
        breaker.acquire()
    return permit


@pytest.mark.parametrize("mode", ["forced_open", "disabled", "metrics_only"])
def test_a_breaker_begins_in_the_mode_of_its_configuration(machine, mode):
    """A policy file can turn a breaker off, force it, or let it watch; and back."""
    m = machine(mode=mode)
    assert mode == m.breaker.state
    permit = _try(m.breaker)
    assert (permit is None) == (mode == "forced_open")

    m.breaker.close()

    assert "closed" == m.breaker.state
    assert _try(m.breaker) is not None


@pytest.mark.parametrize("code", ["NOT_FOUND", "UNKNOWN", *sorted(HEALTHY_CODES)[:2]])
def test_statuses_of_the_callers_fault_are_successes(machine, code):
    """As Envoy's admission control has it, unless the configuration says otherwise."""
    m, strict = machine(), machine(failure_codes=frozenset({code}))
    for one in (m, strict):
        for _ in range(5):
            one.breaker.settle(one.breaker.acquire(), code, latency_s=0.1)

    assert "closed" == m.breaker.state
    assert "open" == strict.breaker.state


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("CANCELLED", {"cancelled_by": "caller"}),
        ("CANCELLED", {}),
        ("UNAVAILABLE", {"cancelled_by": "hedge"}),
        ("ABORTED", {}),
        (None, {}),
        ("UNAVAILABLE", {"passed_on": True}),
    ],
)
def test_what_says_nothing_counts_nowhere_and_keeps_no_permit(machine, code, how):
    """Cancelled, ignored and passed-on outcomes give even a trial's permit back."""
    m = machine(ignored_codes=frozenset({"ABORTED"}))
    m.feed("FFFSS")
    m.clock.advance(6)
    for _ in range(100):
        m.breaker.settle(m.breaker.acquire(), code, latency_s=0.1, **how)

    assert 0 == m.breaker.metrics().calls
    assert 4 == sum(_try(m.breaker) is not None for _ in range(9))
