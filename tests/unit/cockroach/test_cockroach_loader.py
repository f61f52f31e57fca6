"""Keys asked for together are loaded together."""

import asyncio

import pytest

from cockroach.loader import Gather


async def test_one_turn_is_one_load():
    """However many ask at once, each key is loaded once and in one go."""
    loads = []

    async def load(keys):
        loads.append(sorted(keys))
        return {key: key.upper() for key in keys if key != "c"}

    loader = Gather(load)

    found = await asyncio.gather(*(loader.get(key) for key in "abcab"))

    assert found == ["A", "B", None, "A", "B"]
    assert loads == [["a", "b", "c"]]
    assert await loader.get("a") == "A"
    assert len(loads) == 2


async def test_a_failed_load_fails_for_all_who_wait():
    """Everybody of the turn gets the error, and the next turn starts anew."""
    failing = True

    async def load(keys):
        if failing:
            raise OSError("down")
        return dict.fromkeys(keys, 1)

    loader = Gather(load)

    found = await asyncio.gather(
        loader.get("a"), loader.get("b"), return_exceptions=True
    )

    assert [OSError, OSError] == [type(one) for one in found]
    failing = False
    assert await loader.get("a") == 1


async def test_one_who_gives_up_takes_nobody_along():
    """A cancelled reader leaves the load to the others."""
    go = asyncio.Event()

    async def load(keys):
        await go.wait()
        return dict.fromkeys(keys, 1)

    loader = Gather(load)
    one, other = (asyncio.ensure_future(loader.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    go.set()

    assert await other == 1


async def test_a_batch_is_bounded():
    """More keys than a statement should have are loaded by several, at once."""
    loads = []
    together = asyncio.Event()

    async def load(keys):
        loads.append(len(keys))
        if len(loads) == 3:
            together.set()
        await together.wait()
        return dict.fromkeys(keys, 1)

    loader = Gather(load, at_most=2)
    found = await asyncio.gather(*(loader.get(key) for key in range(5)))

    assert ([1] * 5, [2, 2, 1]) == (found, loads)


async def test_a_failed_part_fails_nobody_else():
    """Each statement's error goes to those who asked for its keys."""

    async def load(keys):
        if "a" in keys:
            raise OSError("down")
        return dict.fromkeys(keys, 1)

    loader = Gather(load, at_most=1)
    found = await asyncio.gather(
        loader.get("a"), loader.get("b"), return_exceptions=True
    )

    assert (OSError, 1) == (type(found[0]), found[1])


async def test_whoever_is_left_gets_the_answer():
    """All but one give up before the load began: it still takes place, for that one."""
    loads = []

    async def load(keys):
        loads.append(list(keys))
        return dict.fromkeys(keys, 1)

    loader = Gather(load)
    tasks = [asyncio.ensure_future(loader.get(key)) for key in "abc"]
    await asyncio.sleep(0)
    for task in tasks[:2]:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)

    assert 1 == found[2]
    assert 1 == len(loads)
