"""Pools are as large as the database allows, divided among those who share it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.sizing import Capacity, cockroach_capacity


@given(
    connections=st.integers(2, 10_000),
    reserved=st.integers(0, 100),
    each=st.integers(1, 4),
    clients=st.integers(1, 200),
    pools=st.integers(1, 9),
)
def test_nobody_together_exceeds_the_capacity(
    connections, reserved, each, clients, pools
) -> None:
    """All pools full fit, and one more connection each would not."""
    if reserved >= connections:
        with pytest.raises(ValueError, match="leave none"):
            Capacity(connections=connections, reserved=reserved)
        return
    capacity = Capacity(connections=connections, reserved=reserved, sessions_each=each)
    try:
        size = capacity.pool_size(clients=clients, pools=pools)
    except ValueError:
        size = 0

    assert size * clients * pools * each <= connections - reserved
    assert (size + 1) * clients * pools * each > connections - reserved


def test_the_documented_example() -> None:
    """Three nodes of four vCPUs take 48; twelve processes keep four each."""
    assert 4 == cockroach_capacity(nodes=3, vcpus=4).pool_size(clients=12)


def test_the_lab_keeps_what_its_servers_can_take() -> None:
    """Round robin's worst case: 27 processes, two gateways, three sessions each."""
    from cockroach.embedded.settings import MAX_CONNECTIONS
    from lab.profiles import COMMON

    capacity = Capacity(connections=MAX_CONNECTIONS, reserved=16, sessions_each=3)

    assert COMMON["pool_size"] == capacity.pool_size(clients=27, pools=2)


@pytest.mark.parametrize("values", [{"clients": 0}, {"clients": 1, "pools": 0}])
def test_nonsense_is_refused(values) -> None:
    """There is somebody to divide among."""
    with pytest.raises(ValueError, match="at least one"):
        Capacity(connections=10).pool_size(**values)
    with pytest.raises(ValueError, match="at least one"):
        cockroach_capacity(nodes=0, vcpus=4)
