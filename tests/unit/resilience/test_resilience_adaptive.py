"""Adaptive limits: Netflix' concurrency-limits, and the limiter around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import (
    AdaptiveLimiter,
    AIMDConfig,
    Gradient2Config,
    LimitConfig,
)
from resilience._errors import LimitReachedError
from resilience._limiter import limit_outcome
from resilience._limits import AIMDLimit, ExpAverage, FixedConfig, Gradient2Limit
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience


@pytest.mark.parametrize(
    ("config", "samples", "expected"),
    [
        pytest.param({"initial": 10}, [], 10, id="begins as configured"),
        pytest.param({"initial": 20}, [(0.001, 10, False)], 21, id="up by one"),
        pytest.param({"initial": 20}, [(0.001, 9, False)], 20, id="half unused"),
        pytest.param({"initial": 30}, [(0, 0, True)], 27, id="down by a tenth"),
        pytest.param({"initial": 30}, [(5.1, 30, False)], 27, id="late is dropped"),
        pytest.param(
            {"initial": 21, "most": 21}, [(0.001, 21, False)], 21, id="at most"
        ),
        pytest.param({"initial": 10, "least": 10}, [(0, 0, True)], 10, id="at least"),
    ],
)
def test_aimd_follows_netflix_cases(config, samples, expected):
    """AIMDLimitTest's cases: one more when well used, a tenth less when dropped."""
    limit = AIMDLimit(AIMDConfig(**config))
    for rtt, in_flight, dropped in samples:
        limit.update(rtt, in_flight, dropped=dropped)

    assert expected == limit.value


def test_exp_average_warms_up_as_a_mean():
    """ExpAvgMeasurementTest: the mean of the warm-up, then exponential."""
    average = ExpAverage(100, 10)
    expected = [10.0, 10.5, 11.0, 11.5, 12.0, 12.5, 13.0, 13.5, 14.0, 14.5]

    assert expected == [average.add(10.0 + i) for i in range(10)]
    average.add(100.0)
    assert average.value == pytest.approx(14.5 + (100 - 14.5) * 2 / 101)


def test_gradient_grows_by_the_queue_while_latency_is_steady():
    """Gradient2: at a gradient of 1 the estimate moves by smoothing * queue."""
    limit = Gradient2Limit(Gradient2Config(initial=20, least=20))
    limit.update(0.1, 20, dropped=False)
    assert 20 == limit.value
    for _ in range(20):
        limit.update(0.1, limit.value, dropped=False)

    assert 20 + int(21 * 0.2 * 4) == limit.value


def test_gradient_stays_when_hardly_used():
    """Gradient2: less than half in flight says nothing about the limit."""
    limit = Gradient2Limit(Gradient2Config(initial=100))
    for _ in range(50):
        limit.update(0.1, 49, dropped=False)

    assert 100 == limit.value


def test_gradient_shrinks_when_latency_rises():
    """Gradient2: latency of four times the usual halves the wanted limit."""
    limit = Gradient2Limit(Gradient2Config(initial=100, queue=0, smoothing=1.0))
    for _ in range(10):
        limit.update(0.1, 100, dropped=False)
    limit.update(1.0, 100, dropped=False)

    # tolerance * long / short = 1.5 * 0.1018 / 1.0, held at 0.5
    assert 50 == limit.value


def test_gradient_forgets_a_bad_time_faster():
    """Gradient2: a long-term latency over twice the recent one loses 5 % a sample."""
    limit = Gradient2Limit(Gradient2Config())
    for _ in range(10):
        limit.update(1.0, 0, dropped=False)
    before = limit._long.value
    limit.update(0.1, 0, dropped=False)

    assert limit._long.value < before * 0.96


def test_gradient_falls_by_a_tenth_where_all_was_dropped():
    """Nothing succeeded: the limit halves as far as smoothing lets it, to the least."""
    limit = Gradient2Limit(Gradient2Config(initial=100, least=85))
    limit.update(0.0, 100, dropped=True)
    assert 90 == limit.value
    limit.update(0.0, 100, dropped=True)
    assert 85 == limit.value
    limit.update(0.0, 100, dropped=False)
    assert 85 == limit.value


@given(
    st.lists(
        st.tuples(
            st.floats(0, 10, allow_nan=False), st.integers(0, 500), st.booleans()
        ),
        max_size=200,
    )
)
def test_limits_stay_in_their_bounds(samples):
    """Whatever is measured, both algorithms keep to least and most."""
    for limit in (
        AIMDLimit(AIMDConfig(initial=10, least=5, most=30)),
        Gradient2Limit(Gradient2Config(initial=10, least=5, most=30)),
    ):
        for rtt, in_flight, dropped in samples:
            limit.update(rtt, in_flight, dropped=dropped)

            assert 5 <= limit.value <= 30


def _limiter(clock, listener=None, **config):
    return AdaptiveLimiter(
        "catalog",
        LimitConfig(algorithm=AIMDConfig(initial=2, least=1, most=10), **config),
        clock=clock,
        listener=listener,
    )


def test_calls_beyond_the_limit_are_refused():
    """The limit holds at once, and a place given back can be taken."""
    limiter = _limiter(FakeClock())
    first = limiter.acquire()
    limiter.acquire()
    with pytest.raises(LimitReachedError) as raised:
        limiter.acquire()
    limiter.release(first, "ignored")
    limiter.release(first, "ignored")

    assert "limit of catalog reached: 2 in flight" == str(raised.value)
    assert 1 == limiter.in_flight


def test_a_window_is_one_sample():
    """Nothing is learnt before the window's time and number of calls are over."""
    clock, listener = FakeClock(), RecordingListener()
    limiter = _limiter(clock, listener, window_s=1.0, window_calls=3)
    for seconds in (0.4, 0.4):
        place = limiter.acquire()
        clock.advance(seconds)
        limiter.release(place, "success")
    assert 2 == limiter.limit
    place = limiter.acquire()
    clock.advance(0.3)
    limiter.release(place, "success")

    assert 3 == limiter.limit
    assert "<AdaptiveLimiter catalog 0/3 in flight>" == repr(limiter)
    (event,) = listener.events
    assert (2, 3) == (event.old, event.new)


def _windows(limiter, clock, windows, calls):
    """Let windows pass, each with all of the limit in use; calls is (s, outcome)."""
    for _ in range(windows):
        for seconds, outcome in calls:
            places = [limiter.try_acquire() for _ in range(limiter.limit)]
            clock.advance(seconds)
            for place in places:
                limiter.release(place, outcome)
        clock.advance(1.0)


def test_quick_refusals_are_no_sign_of_a_quick_callee():
    """Refusals in 1 ms beside answers in 100 ms leave the latency at 100 ms."""
    clock = FakeClock()
    limiter = AdaptiveLimiter("catalog", LimitConfig(), clock=clock)
    _windows(limiter, clock, 20, [(0.1, "success")])
    _windows(limiter, clock, 20, [(0.1, "success"), *[(0.001, "dropped")] * 9])

    assert limiter._algorithm._long.value == pytest.approx(0.1)


def test_a_callee_that_refuses_everything_gets_a_smaller_limit():
    """Where nothing succeeds the default limit falls, however quick the refusals."""
    clock = FakeClock()
    limiter = AdaptiveLimiter("catalog", LimitConfig(), clock=clock)
    _windows(limiter, clock, 100, [(0.1, "success")])
    before = limiter.limit
    _windows(limiter, clock, 6, [(0.001, "dropped")])

    assert limiter.limit <= 0.6 * before


def test_late_drops_raise_the_latency():
    """Calls dropped at their deadline took longer than the others: they count."""
    clock = FakeClock()
    limiter = AdaptiveLimiter("catalog", LimitConfig(), clock=clock)
    _windows(limiter, clock, 100, [(0.1, "success")])
    before = limiter.limit
    _windows(limiter, clock, 3, [(0.1, "success"), (1.0, "dropped")])

    assert limiter.limit < before


def test_a_fixed_limit_stays():
    """FixedLimit: whatever happens, the limit is what it was."""
    clock = FakeClock()
    limiter = AdaptiveLimiter(
        "catalog", LimitConfig(algorithm=FixedConfig(limit=3)), clock=clock
    )
    _windows(limiter, clock, 5, [(9.0, "dropped"), (0.1, "success")] * 5)

    assert 3 == limiter.limit


@pytest.mark.parametrize(("every", "limit"), [(25, 100), (10, 20)])
def test_a_few_cancelled_calls_are_no_overload(every, limit):
    """Where under 5 % of a window's calls were dropped, AIMD does not fall."""
    clock = FakeClock()
    limiter = AdaptiveLimiter(
        "server",
        LimitConfig(algorithm=AIMDConfig(initial=100, least=20, most=100)),
        clock=clock,
    )
    for _ in range(50):
        places = [limiter.acquire() for _ in range(limiter.limit)]
        clock.advance(0.5)
        for n, place in enumerate(places[1:]):
            limiter.release(place, "success" if n % every else "dropped")
        clock.advance(0.6)
        limiter.release(places[0], "success")

    assert limit == limiter.limit


def test_waiting_for_a_thread_counts_as_latency():
    """A queue's delay makes a quick call a late one."""
    clock = FakeClock()
    limiter = AdaptiveLimiter(
        "server",
        LimitConfig(
            algorithm=AIMDConfig(initial=10, timeout_s=1.0), window_s=0, window_calls=1
        ),
        clock=clock,
    )
    place = limiter.acquire()
    clock.advance(0.1)
    limiter.release(place, "success", queue_delay_s=2.0)

    assert 9 == limiter.limit


@pytest.mark.parametrize(
    ("code", "side", "expected"),
    [
        ("OK", "client", "success"),
        ("UNAVAILABLE", "client", "dropped"),
        ("NOT_FOUND", "client", "ignored"),
        ("OK", "server", "success"),
        ("INVALID_ARGUMENT", "server", "success"),
        ("DEADLINE_EXCEEDED", "server", "dropped"),
        ("CANCELLED", "server", "dropped"),
        ("UNKNOWN", "server", "ignored"),
        ("UNAVAILABLE", "server", "ignored"),
        ("RESOURCE_EXHAUSTED", "server", "ignored"),
    ],
)
def test_statuses_teach_as_in_netflix_interceptors(code, side, expected):
    """The gRPC outcome map of concurrency-limits, for both sides."""
    assert expected == limit_outcome(code, side)


@given(st.lists(st.sampled_from(["in", "success", "dropped", "ignored"]), max_size=200))
def test_places_never_leak(steps):
    """Whatever ends how, places in flight are those taken and not given back."""
    clock = FakeClock()
    limiter = _limiter(clock, window_s=0, window_calls=1)
    held = []
    for step in steps:
        clock.advance(0.01)
        if step == "in":
            place = limiter.try_acquire()
            if place is not None:
                held.append(place)
        elif held:
            limiter.release(held.pop(), step)

        assert len(held) == limiter.in_flight


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: FixedConfig(limit=0),
        lambda: AIMDConfig(initial=0),
        lambda: AIMDConfig(backoff=1.0),
        lambda: AIMDConfig(timeout_s=0),
        lambda: Gradient2Config(smoothing=0),
        lambda: Gradient2Config(tolerance=0.9),
        lambda: Gradient2Config(queue=-1),
        lambda: Gradient2Config(long_window=0),
        lambda: LimitConfig(window_s=-1),
        lambda: LimitConfig(window_calls=0),
        lambda: LimitConfig(drop_share=0),
    ],
)
def test_impossible_limits_are_refused(wrong):
    """Values that contradict each other are told when they are made."""
    with pytest.raises(ValueError):
        wrong()
