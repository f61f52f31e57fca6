"""Keys asked for together are loaded together."""

import asyncio

import pytest

from services.runtime.batching import BatchLoader


async def test_one_turn_is_one_load():
    """However many ask at once, each key is loaded once and in one go."""
    loads = []

    async def load(keys):
        loads.append(sorted(keys))
        return {key: key.upper() for key in keys if key != "c"}

    loader = BatchLoader(load)

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

    loader = BatchLoader(load)

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

    loader = BatchLoader(load)
    one, other = (asyncio.ensure_future(loader.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    go.set()

    assert await other == 1
