"""The circuit breaker against resilience4j's published behaviour, and beyond it."""

import asyncio
import contextlib
import threading

import pybreaker
import pytest

from resilience import (
    BreakerConfig,
    BreakerThresholdExceeded,
    CircuitBreaker,
    CircuitOpenError,
)

pytestmark = pytest.mark.resilience


def test_opens_on_the_call_that_completes_the_minimum(reference):
    """F F F S leaves it closed with no rate; the fifth, a success, opens at 60 %."""
    reference.feed("FFFS")
    metrics = reference.breaker.metrics()
    assert ("closed", None, 4) == (
        reference.breaker.state,
        metrics.failure_rate,
        metrics.calls,
    )

    reference.feed("S")

    metrics = reference.breaker.metrics()
    assert ("open", 0.6, 3, 5) == (
        reference.breaker.state,
        metrics.failure_rate,
        metrics.failed,
        metrics.calls,
    )
    with pytest.raises(CircuitOpenError):
        reference.breaker.acquire()
    assert 1 == reference.breaker.metrics().not_permitted
    assert [("closed", "open")] == reference.listener.transitions()


def test_opens_at_exactly_the_threshold(reference):
    """S S S F F a second apart is 40 % and stays closed; one more F is 50 %."""
    for letter in "SSSFF":
        reference.feed(letter)
        reference.clock.advance(1)
    assert "closed" == reference.breaker.state
    assert 0.4 == reference.breaker.metrics().failure_rate

    reference.feed("F")

    assert "open" == reference.breaker.state


def test_opens_on_slow_calls_alone(reference):
    """Half of the calls slow opens it though none failed."""
    reference.feed("SSsss")

    assert "open" == reference.breaker.state
    (change,) = reference.listener.events
    assert ("slow_rate", 0, 3) == (
        change.reason,
        change.metrics.failed,
        change.metrics.slow,
    )


def test_a_call_as_long_as_the_bound_is_not_slow(machine):
    """Slow means longer than slow_after_s."""
    m = machine()
    for _ in range(5):
        m.breaker.record(m.breaker.acquire(), ok=True, latency_s=4.0)

    assert 0 == m.breaker.metrics().slow


def _open(machine):
    machine.feed("FFFSS")
    assert "open" == machine.breaker.state


def test_half_opens_after_the_interval_with_fresh_counts(reference):
    """Open refuses at 3 s, twice counted, and admits a trial at 6 s, all reset."""
    _open(reference)
    reference.clock.advance(3)
    for _ in range(2):
        with pytest.raises(CircuitOpenError) as raised:
            reference.breaker.acquire()
        assert pytest.approx(2.0) == raised.value.retry_after_s
    assert 2 == reference.breaker.metrics().not_permitted

    reference.clock.advance(3)
    reference.breaker.acquire()

    metrics = reference.breaker.metrics()
    assert ("half_open", 0, None, 0) == (
        reference.breaker.state,
        metrics.calls,
        metrics.failure_rate,
        metrics.not_permitted,
    )


@pytest.mark.parametrize(
    ("letters", "state", "failure_rate", "slow_rate"),
    [
        ("FFSF", "open", 0.75, 0.0),
        ("FSSS", "closed", None, None),
        ("sssS", "open", 0.0, 0.75),
        ("SSSS", "closed", None, None),
        ("FFFF", "open", 1.0, 0.0),
    ],
)
def test_half_open_judges_its_trials(
    reference, letters, state, failure_rate, slow_rate
):
    """After its permits have told, half-open opens or closes by the same rates."""
    _open(reference)
    reference.clock.advance(6)

    reference.feed(letters)

    metrics = reference.breaker.metrics()
    assert (state, failure_rate, slow_rate) == (
        reference.breaker.state,
        metrics.failure_rate,
        metrics.slow_rate,
    )


def test_half_open_opens_again_when_trials_stay_away(reference):
    """Trials that never tell do not wedge it: after the maximum wait it is open."""
    _open(reference)
    reference.clock.advance(6)
    for _ in range(4):
        reference.breaker.acquire()
    with pytest.raises(CircuitOpenError):
        reference.breaker.acquire()

    reference.clock.advance(1)
    with pytest.raises(CircuitOpenError):
        reference.breaker.acquire()
    assert "open" == reference.breaker.state

    reference.clock.advance(5)
    reference.breaker.acquire()
    assert "half_open" == reference.breaker.state


def test_sparse_trials_that_all_told_do_not_open_it_again(reference):
    """One call every two seconds closes it too, though the maximum wait is one."""
    _open(reference)
    reference.clock.advance(4)
    for _ in range(4):
        reference.clock.advance(2)
        reference.feed("S")

    assert "closed" == reference.breaker.state


def test_an_ignored_trial_gives_its_permit_back(reference):
    """Cancelled and ignored trials decide nothing and may be made again."""
    _open(reference)
    reference.clock.advance(6)

    reference.feed("I" * 20)
    assert "half_open" == reference.breaker.state

    reference.feed("SSSS")
    assert "closed" == reference.breaker.state


def test_results_of_an_earlier_state_count_nowhere(reference):
    """A call admitted before the breaker opened does not close, or open, it later."""
    early = [reference.breaker.acquire() for _ in range(10)]
    _open(reference)
    reference.clock.advance(6)
    reference.breaker.acquire()
    for permit in early:
        reference.breaker.record(permit, ok=False, latency_s=0.1)

    assert "half_open" == reference.breaker.state
    assert 0 == reference.breaker.metrics().calls


def test_a_permit_settles_once(reference):
    """Telling twice counts once, and so does releasing what was told."""
    permit = reference.breaker.acquire()
    reference.breaker.record(permit, ok=False, latency_s=0.1)
    reference.breaker.record(permit, ok=False, latency_s=0.1)
    reference.breaker.release(permit)

    assert 1 == reference.breaker.metrics().calls


def test_the_open_interval_grows_and_is_capped(machine):
    """Each opening without a close between waits longer, up to open_max_s."""
    m = machine(open_factor=2.0, open_max_s=15.0)
    waits = []
    m.feed("FFFFF")
    for _ in range(4):
        waits.append(m.breaker.retry_after_s)
        m.clock.advance(waits[-1])
        m.feed("FFFF")
    assert [5.0, 10.0, 15.0, 15.0] == waits

    m.clock.advance(15)
    m.feed("SSSS")
    m.feed("FFFFF")
    assert 5.0 == m.breaker.retry_after_s


def test_forced_open_stays_open(reference):
    """Forced open refuses after any wait, until told otherwise."""
    reference.breaker.force_open()
    reference.clock.advance(60)
    with pytest.raises(CircuitOpenError):
        reference.breaker.acquire()
    assert "forced_open" == reference.breaker.state

    reference.breaker.close()
    reference.breaker.acquire()


def test_disabled_admits_and_records_nothing(reference):
    """Disabled lets every call pass, counts none, and says nothing more."""
    reference.breaker.disable()
    reference.feed("F" * 50)

    assert "disabled" == reference.breaker.state
    assert 0 == reference.breaker.metrics().calls
    assert [("closed", "disabled")] == reference.listener.transitions()


def test_watching_reports_a_threshold_once(reference):
    """Metrics only: the rate is kept, the state too, one event per threshold."""
    reference.breaker.watch_only()
    reference.feed("FFFSS")
    reference.feed("F")

    assert "metrics_only" == reference.breaker.state
    assert 6 == reference.breaker.metrics().calls
    (event,) = reference.listener.of(BreakerThresholdExceeded)
    assert "failure_rate" == event.reason


def test_closed_never_half_opens_and_standing_still_is_no_event(reference):
    """Closed to half-open is illegal; closing what is closed tells nobody."""
    with pytest.raises(ValueError, match="cannot half-open"):
        reference.breaker.half_open()
    reference.breaker.close()

    assert [] == reference.listener.events


def test_a_thousand_callers_half_open_admit_exactly_the_permits(reference):
    """Of a thousand concurrent callers exactly four are trials, the rest refused."""

    async def caller():
        await asyncio.sleep(0)
        try:
            permit = reference.breaker.acquire()
        except CircuitOpenError:
            return 0
        await asyncio.sleep(0.001)
        reference.breaker.record(permit, ok=True, latency_s=0.1)
        return 1

    async def stampede():
        return sum(await asyncio.gather(*(caller() for _ in range(1000))))

    _open(reference)
    reference.clock.advance(6)

    assert 4 == asyncio.run(stampede())
    assert "closed" == reference.breaker.state


def test_threads_half_open_admit_exactly_the_permits(reference):
    """The same between threads, which wait at a barrier and rush together."""
    _open(reference)
    reference.clock.advance(6)
    admitted = []
    barrier = threading.Barrier(50)

    def caller():
        barrier.wait()
        for _ in range(20):
            with contextlib.suppress(CircuitOpenError):
                admitted.append(reference.breaker.acquire())

    threads = [threading.Thread(target=caller) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4 == len(admitted)


def test_listeners_of_pybreaker_hear_of_states_and_results():
    """A pybreaker listener works as it does with pybreaker's own breaker."""
    heard = []

    class Ear(pybreaker.CircuitBreakerListener):
        def success(self, cb):
            heard.append("success")

        def failure(self, cb, exc):
            heard.append("failure")

        def state_change(self, cb, old_state, new_state):
            heard.append(f"{old_state.name}>{new_state.name}")

    breaker = CircuitBreaker(
        "x", BreakerConfig(min_calls=2, window_size=2), circuit_listeners=[Ear()]
    )
    breaker.record(breaker.acquire(), ok=True, latency_s=0.1)
    breaker.record(breaker.acquire(), ok=False, latency_s=0.1)

    assert ["success", "closed>open", "failure"] == heard


def test_storage_of_pybreaker_is_shared_between_breakers(machine):
    """Two breakers over one storage: what opens one opens the other."""
    storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
    m = machine()
    config = m.breaker.config
    one, two = (
        CircuitBreaker("x", config, clock=m.clock, storage=storage) for _ in "ab"
    )
    one.open()

    with pytest.raises(CircuitOpenError):
        two.acquire()
    assert "open" == two.state


def test_a_listener_that_raises_fails_no_call(machine, caplog):
    """A broken listener is logged; the breaker opens all the same."""
    m = machine()

    class Broken:
        def on_event(self, event):
            raise RuntimeError("broken")

    m.breaker._listener = Broken()
    m.feed("FFFFF")

    assert "open" == m.breaker.state
    assert "a listener failed" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_rate": 0.0},
        {"failure_rate": 1.1},
        {"slow_rate": 0.0},
        {"slow_after_s": 0.0},
        {"open_s": 0.0},
        {"window_size": 0},
        {"min_calls": 101},
        {"half_open_permits": 0},
        {"half_open_max_wait_s": 0.0},
        {"open_factor": 0.5},
        {"window": "moon"},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong):
    """A breaker that could never judge, or never admit, cannot be configured."""
    with pytest.raises(ValueError):
        BreakerConfig(**wrong)


def test_repr_is_what_an_operator_wants_to_read(reference):
    """Name, state, when to come back, and the counts."""
    assert "<CircuitBreaker payments closed, 0/0 failed>" == repr(reference.breaker)
    reference.feed("FFFsS")
    assert "<CircuitBreaker payments open, retry in 5.0 s, 3/5 failed, 1 slow>" == repr(
        reference.breaker
    )
