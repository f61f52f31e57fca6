"""Take one cure away and the verdict is red, and the failing check says which."""

from __future__ import annotations

import pytest

from lab import profiles

#: What each cure answers for: one of these at least is red without it.
MISSED = {
    "locality-routing": {"slow_database_left_alone", "slo_success_affected"},
    "local-schema": {"gateways_ask_no_other_region"},
    "batching": {"slow_database_left_alone"},
    "breakers": {"breakers_open_in_time", "orders_taken_elsewhere"},
    "deadlines": {"deadlines_shrink"},
    "fallbacks": {"slo_success_affected", "orders_taken_elsewhere"},
    "coalescing": {"one_load_per_process", "stale_copies_served"},
    "lease": {"one_load_per_region"},
    "bounded-pools": {"pools_are_warm"},
}
#: Red in no check of this experiment: the others leave nothing for them to do. No
#: call fails so that it could be retried, and no target is slow for so long that it
#: would hold many calls. They are shown by the resilience suite. Both gateways of a
#: region are equally slow here: one that is slower is `slow-gateway`'s. Nobody wants
#: what all want: that is `hot-key`'s.
COVERED_BY_OTHERS = {"bulkheads", "hot-keys", "retry-budget", "weighted-routing"}


def test_every_cure_is_accounted_for():
    """A new cure needs a check that misses it, or a reason why there is none."""
    assert {*MISSED, *COVERED_BY_OTHERS} == {*profiles.CURE_NAMES}


@pytest.mark.parametrize("cure", MISSED)
def test_a_missing_cure_is_named(play, red, cure):
    """Without it the run is valid, red, and the check names what is missing."""
    result = play(without=cure)

    assert result.invalid_reasons == ()
    assert result.verdict == "fail"
    assert MISSED[cure] & red(result), red(result)
