"""Properties that hold for every sequence of events, found by hypothesis."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import (
    BreakerConfig,
    BudgetConfig,
    CircuitBreaker,
    CircuitOpenError,
    TokenBucket,
)
from resilience._window import CountWindow, TimeWindow
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience

LEGAL = {
    ("closed", "open"),
    ("open", "half_open"),
    ("half_open", "open"),
    ("half_open", "closed"),
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "ok", "fail", "slow", "release", "wait"]),
        st.integers(0, 9),
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(
    steps=STEPS,
    permits=st.integers(1, 4),
    window=st.sampled_from(["count", "time"]),
    max_wait=st.sampled_from([None, 1.0, 3.0]),
)
def test_breaker_keeps_its_promises(steps, permits, window, max_wait):
    """No illegal change, never more trials out than permits, closed always admits."""
    clock, listener = FakeClock(), RecordingListener()
    breaker = CircuitBreaker(
        "any",
        BreakerConfig(
            window=window,
            window_size=6,
            min_calls=3,
            open_s=2,
            half_open_permits=permits,
            half_open_max_wait_s=max_wait,
            slow_after_s=1,
        ),
        clock=clock,
        listener=listener,
    )
    out, refused_in = [], set()
    for step, number in steps:
        if step == "wait":
            clock.advance(number / 3)
        elif step == "acquire":
            before = breaker.state
            try:
                out.append(breaker.acquire())
            except CircuitOpenError:
                refused_in.add(before)
        elif out:
            permit = out.pop(number % len(out))
            if step == "release":
                breaker.release(permit)
            else:
                latency = 2.0 if step == "slow" else 0.1
                breaker.record(permit, ok=step != "fail", latency_s=latency)
        current = [p for p in out if p.trial and p.generation == breaker._generation]
        assert len(current) <= permits
        metrics = breaker.metrics()
        assert 0 <= metrics.failed <= metrics.calls
        assert 0 <= metrics.slow <= metrics.calls
    changes = listener.transitions()
    assert "closed" not in refused_in
    assert set(changes) <= LEGAL
    assert all(a[1] == b[0] for a, b in itertools.pairwise(changes))


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_breaker_always_recovers_when_the_callee_does(steps):
    """Whatever happened before, a callee that works gets the breaker closed."""
    clock = FakeClock()
    config = BreakerConfig(
        window_size=6,
        min_calls=3,
        open_s=2,
        half_open_permits=2,
        half_open_max_wait_s=1,
    )
    breaker = CircuitBreaker("any", config, clock=clock)
    for step, number in steps:
        if step == "wait":
            clock.advance(number / 3)
            continue
        try:
            permit = breaker.acquire()
        except CircuitOpenError:
            continue
        if step in {"ok", "fail", "slow"}:
            breaker.record(permit, ok=step == "ok", latency_s=0.1)
        # Every other permit is lost: its caller never told.
    for _ in range(20):
        clock.advance(1)
        try:
            breaker.record(breaker.acquire(), ok=True, latency_s=0.1)
        except CircuitOpenError:
            continue

    assert "closed" == breaker.state


@settings(max_examples=150, deadline=None)
@given(
    results=st.lists(st.booleans(), max_size=300),
    tokens=st.floats(0.5, 50),
    ratio=st.floats(0.001, 2),
)
def test_bucket_never_leaves_its_bounds(results, tokens, ratio):
    """Tokens stay in [0, max], and a retry is allowed only above the half."""
    bucket = TokenBucket(BudgetConfig(max_tokens=tokens, token_ratio=ratio))
    for ok in results:
        if ok:
            bucket.succeeded()
        else:
            assert bucket.failed() == (bucket.tokens > round(tokens, 3) / 2)
        assert 0 <= bucket.tokens <= round(tokens, 3) + 1e-9


@settings(max_examples=100, deadline=None)
@given(tokens=st.floats(1, 100), calls=st.integers(1, 400))
def test_bucket_bounds_the_retries_of_an_outage(tokens, calls):
    """In a total outage at most half of the tokens become retries."""
    bucket = TokenBucket(BudgetConfig(max_tokens=tokens))

    assert sum(bucket.failed() for _ in range(calls)) <= tokens / 2 + 1


@settings(max_examples=150, deadline=None)
@given(
    calls=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.floats(0, 3)), max_size=100
    ),
    size=st.integers(1, 8),
)
def test_windows_agree_with_the_plain_definition(calls, size):
    """Running totals equal a count over the calls that are still inside."""
    clock = FakeClock()
    by_count, by_time = CountWindow(size), TimeWindow(size, clock)
    seen = []
    for failed, slow, pause in calls:
        clock.advance(pause)
        by_count.add(failed=failed, slow=slow)
        by_time.add(failed=failed, slow=slow)
        seen.append((failed, slow, int(clock.now)))
        last = seen[-size:]
        recent = [call for call in seen if call[2] > int(clock.now) - size]
        for window, inside in ((by_count, last), (by_time, recent)):
            assert (window.calls, window.failed, window.slow) == (
                len(inside),
                sum(call[0] for call in inside),
                sum(call[1] for call in inside),
            )
