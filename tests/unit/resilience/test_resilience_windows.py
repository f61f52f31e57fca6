"""The sliding windows against resilience4j's own window tests."""

import pytest

from resilience._window import CountWindow, TimeWindow
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


def _totals(window):
    return window.calls, window.failed, window.slow


def test_count_window_forgets_the_oldest():
    """Of four places, the fifth call takes the failure's: rates 100, 50, 33, 25, 0."""
    window = CountWindow(4)
    rates = []
    for failed in (True, False, False, False, False):
        window.add(failed=failed, slow=False)
        rates.append(round(100 * window.failed / window.calls, 2))

    assert [100, 50, 33.33, 25, 0] == rates
    assert 4 == window.calls


def test_count_window_counts_slow_beside_failed():
    """A slow success and a slow failure of five calls are 40 % slow."""
    window = CountWindow(5)
    for failed, slow in ((0, 1), (1, 1), (0, 0), (0, 0), (0, 0)):
        window.add(failed=bool(failed), slow=bool(slow))

    assert (5, 1, 2) == _totals(window)


def test_time_window_keeps_whole_seconds():
    """Three calls of second 0 are all there at 4.8 s and gone at 5.8 s."""
    clock = FakeClock()
    window = TimeWindow(5, clock)
    window.add(failed=True, slow=False)
    clock.advance(0.1)
    window.add(failed=False, slow=False)
    clock.advance(0.7)
    window.add(failed=True, slow=True)

    clock.now = 4.8
    window.refresh()
    assert (3, 2, 1) == _totals(window)

    clock.now = 5.8
    window.refresh()
    assert (0, 0, 0) == _totals(window)


def test_time_window_slides_second_by_second():
    """The call a second after drops the first second's three: 5 left, 1 failed."""
    clock = FakeClock()
    window = TimeWindow(5, clock)
    for at, failed in ((0, 1), (0.1, 0), (0.2, 1), (1, 0), (2, 1), (3, 0), (4, 0)):
        clock.now = at
        window.add(failed=bool(failed), slow=False)
    assert (7, 3, 0) == _totals(window)

    clock.now = 5
    window.add(failed=False, slow=False)

    assert (5, 1, 0) == _totals(window)


def test_time_window_survives_a_long_silence():
    """After an hour without calls the window holds the new call alone."""
    clock = FakeClock()
    window = TimeWindow(5, clock)
    window.add(failed=True, slow=True)
    clock.advance(3600)
    window.add(failed=False, slow=False)

    assert (1, 0, 0) == _totals(window)


def test_windows_know_how_long_their_calls_took():
    """Two slow calls of 10 s and three of 0.1 s are 20.3 s, also as they leave."""
    clock = FakeClock()
    by_count, by_time = CountWindow(5), TimeWindow(5, clock)
    for latency_s in (10, 10, 0.1, 0.1, 0.1):
        for window in (by_count, by_time):
            window.add(failed=False, slow=latency_s > 4, latency_s=latency_s)
        clock.advance(1)
    assert (20.3, 2) == (by_count.total_us / 1e6, by_count.slow)
    assert (20.3, 2) == (by_time.total_us / 1e6, by_time.slow)

    by_count.add(failed=True, slow=False, latency_s=0.1)
    by_time.refresh()

    assert (10.4, 1) == (by_count.total_us / 1e6, by_count.slow)
    assert (10.3, 1) == (by_time.total_us / 1e6, by_time.slow)


def test_total_time_does_not_drift():
    """After a million calls came and went the sum is still exact."""
    window = CountWindow(3)
    for number in range(1_000_000):
        window.add(failed=False, slow=False, latency_s=number % 7 / 10)
    for _ in range(3):
        window.add(failed=False, slow=False, latency_s=0.1)

    assert 300_000 == window.total_us
