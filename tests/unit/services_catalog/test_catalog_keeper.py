"""The keeper: lists are loaded before they grow old, by nobody's request."""

import random

import pytest

from cockroach.errors import DatabaseUnavailableError
from lab import profiles
from services.catalog.keeper import LISTS, Keeper
from services.runtime.policy import PolicySet


class EnoughError(Exception):
    """The test has seen enough rounds."""


async def played(cured: bool, rounds: int, *, failing: str = "", **changed: float):
    """Play some rounds; return what was loaded in order and the pauses taken."""
    values = profiles.values(profiles.cures_of("cured" if cured else "sick"))
    policies = PolicySet(**{**values, **changed})
    loaded: list[str] = []
    pauses: list[float] = []

    async def refresh(category: str) -> None:
        loaded.append(category)
        if category == failing:
            raise DatabaseUnavailableError("eu", "breaker_open", retry_after_s=1.0)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > rounds * len(LISTS):
            raise EnoughError

    keeper = Keeper(
        refresh, policies=lambda: policies, rng=random.Random(7), sleep=sleep
    )
    with pytest.raises(EnoughError):
        await keeper.keep_for_ever()
    return loaded, pauses, policies


async def test_all_lists_are_loaded_at_once_and_then_each_in_half_a_life():
    """The first round takes no pause; a later one takes half of a copy's life."""
    loaded, pauses, policies = await played(True, rounds=2)
    assert loaded == [*LISTS] * 3
    assert sum(pauses[: len(LISTS)]) == pytest.approx(policies.cache_ttl_s / 2, rel=0.2)


async def test_a_list_that_cannot_be_loaded_does_not_stop_the_others():
    """A failed load is left to the next round."""
    loaded, _, _ = await played(True, rounds=1, failing=LISTS[1])
    assert loaded == [*LISTS] * 2


async def test_a_plain_cache_aside_is_left_alone():
    """Without stale copies nothing is loaded before somebody asks."""
    loaded, _, _ = await played(False, rounds=1)
    assert loaded == []


@pytest.mark.parametrize("cured", [True, False])
async def test_copies_without_a_life_do_not_make_it_spin(cured):
    """Between two loads there is a pause, whatever the settings say."""
    _, pauses, _ = await played(cured, rounds=1, cache_ttl_s=0.0)
    assert min(pauses) > 0
