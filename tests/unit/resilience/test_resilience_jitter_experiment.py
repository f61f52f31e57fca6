"""AWS's contention experiment gives AWS's order with our waits."""

import pytest

from tests.unit.resilience.jitter_experiment import JITTERS, contend, table

pytestmark = pytest.mark.resilience


@pytest.fixture(scope="module")
def results():
    """Return the outcome of each jitter for a hundred clients, twenty runs."""
    return {jitter: contend(jitter, runs=20) for jitter in JITTERS}


def test_no_jitter_is_the_clear_loser(results):
    """Brooker: without jitter there is far more work, and it takes far longer."""
    none = results["none"]

    for jitter in ("equal", "full", "decorrelated"):
        other = results[jitter]
        assert none.calls > 1.5 * other.calls
        assert none.time_s > 5 * other.time_s


def test_equal_jitter_is_the_loser_of_the_rest(results):
    """Brooker: equal jitter does a little more work than full, and takes longer."""
    equal, full = results["equal"], results["full"]

    assert full.calls < equal.calls < 1.2 * full.calls
    assert 1.2 * full.time_s < equal.time_s


def test_full_jitter_works_less_and_decorrelated_is_done_sooner(results):
    """Brooker: between these two the choice is less clear."""
    full, decorrelated = results["full"], results["decorrelated"]

    assert full.calls < decorrelated.calls < 1.5 * full.calls
    assert 0.5 * full.time_s < decorrelated.time_s < full.time_s


def test_the_experiment_is_repeatable():
    """The same seed, the same table, ready for the docs."""
    once = table(clients=20, runs=2)

    assert once == table(clients=20, runs=2)
    assert 2 + len(JITTERS) == len(once.splitlines())
