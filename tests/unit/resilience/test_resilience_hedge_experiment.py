"""Hedging by percentile cuts the tail, for the extra load that was asked for."""

import pytest

from tests.unit.resilience.hedge_experiment import BOUND, LOOSE, hedge, table

pytestmark = pytest.mark.resilience


@pytest.mark.parametrize("slow", [0.02, 0.04])
def test_a_few_hedges_cut_the_tail(slow):
    """Dean and Barroso: about 5 % more requests, a tail twenty times shorter."""
    without, hedged = hedge(None, slow=slow), hedge(BOUND, slow=slow)

    assert without.p99_ms > 20 * hedged.p99_ms
    assert without.p50_ms == pytest.approx(hedged.p50_ms, rel=0.05)
    assert hedged.hedged <= 0.05


def test_the_percentile_alone_hedges_what_it_says():
    """After the 95th percentile five in a hundred are hedged, and it stays so."""
    assert hedge(LOOSE).hedged == pytest.approx(0.05, abs=0.005)


def test_losers_left_out_spoil_the_percentile():
    """Unrecorded, the slow vanish from it, and hedges go to calls that need none."""
    loose, bound = (hedge(how, losers_count=False) for how in (LOOSE, BOUND))

    assert loose.hedged > 0.08
    assert bound.refused > 4 * hedge(BOUND).refused
    assert bound.p99_ms > 10 * hedge(BOUND).p99_ms


def test_the_bound_holds_where_more_are_slow():
    """With 8 % slow calls hedges stay at 5 %: an overload is not hedged into more."""
    assert hedge(BOUND, slow=0.08).hedged <= 0.05


def test_the_experiment_is_repeatable():
    """The same seed, the same table, ready for the docs."""
    assert table() == table()
