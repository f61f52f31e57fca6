"""Trips counted at two moments of a run, and not known where no link counts them."""

from types import SimpleNamespace

import pytest

from chaos.fault import BETWEEN_GATEWAYS
from chaos.snapshots import BEGAN, ENDS, Snapshots


class Counting:
    """Links that count ten trips more at each look, one of them between servers."""

    def __init__(self):
        self.total = 0

    def trips(self, kinds=frozenset()):
        if kinds == BETWEEN_GATEWAYS:
            return {"fdw-us-eu": self.total // 10}
        self.total += 10
        return {"sql-us-eu": self.total}


@pytest.fixture(params=[True, False], ids=["linked", "no links"])
def taken(request):
    snapshots = Snapshots({}, needs="", linked=request.param)
    trouble = Counting()
    for moment in (BEGAN, ENDS):
        snapshots.take(moment, trouble)
    return SimpleNamespace(linked=request.param, told=snapshots.to_json())


def test_trips_are_what_was_added_where_links_lead(taken):
    """With links the difference; without them nothing, which is not zero."""
    trips = taken.told["trips"]

    if not taken.linked:
        assert trips is None
        return
    assert (10, 1) == (trips["cross_region"], trips["between_gateways"])
