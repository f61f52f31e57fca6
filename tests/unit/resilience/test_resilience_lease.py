"""The lease: every process names the same holder, and the holder alone loads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import Aged, CacheConfig, Coalescer, LoadLease, rendezvous
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience

MEMBERS = ("a:1", "b:1", "c:1")
names = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=6, unique=True)


class GoneError(Exception):
    """Nobody was there."""


def leases(loads, asked, *, gone=(), refusing=()):
    """Build the leases of all members; who asks is served by the one asked."""

    async def ask(member, key):
        asked.append((member, key))
        if member in gone:
            raise GoneError
        if member in refusing:
            raise ValueError("the database is in trouble")
        return Aged(await loader(member)(), 0.5)

    def loader(member):
        async def load():
            loads.append(member)
            return f"by {member}"

        return load

    return {
        own: (
            LoadLease(
                own,
                MEMBERS,
                ask=ask,
                unreachable=lambda error: isinstance(error, GoneError),
            ),
            loader(own),
        )
        for own in MEMBERS
    }


def key_of(holder):
    """Find a key that a member holds."""
    return next(
        key for key in map(str, range(1000)) if rendezvous(key, MEMBERS) == holder
    )


@given(key=st.text(max_size=20), members=names, seed=st.randoms())
def test_everybody_names_the_same_holder(key, members, seed):
    """The order in which the members are listed makes no difference."""
    other = list(members)
    seed.shuffle(other)
    assert rendezvous(key, members) == rendezvous(key, other)


@given(key=st.text(max_size=20), members=names)
def test_who_leaves_takes_only_own_keys_along(key, members):
    """Without a member its keys move, and no other key does."""
    holder = rendezvous(key, members)
    for gone in members:
        left = [one for one in members if one != gone]
        if gone != holder:
            assert rendezvous(key, left) == holder


def test_keys_are_spread_over_the_members():
    """Of 3000 keys each of three members holds about a third."""
    held = [rendezvous(f"key {n}", MEMBERS) for n in range(3000)]
    assert all(850 < held.count(member) < 1150 for member in MEMBERS)


def test_nobody_holds_a_key_of_no_members():
    """Without members there is no answer."""
    with pytest.raises(ValueError, match="at least one member"):
        rendezvous("k", [])


async def test_the_holder_alone_loads():
    """Three processes that want one key make one kind of load: the holder's."""
    loads, asked = [], []
    key = key_of("b:1")
    for lease, load in leases(loads, asked).values():
        found = await lease.load(key, load)
        assert (found.value if isinstance(found, Aged) else found) == "by b:1"

    assert set(loads) == {"b:1"}
    assert asked == [("b:1", key)] * 2


async def test_without_the_holder_each_loads_for_itself():
    """A holder that is gone costs its key the lease, not the answer."""
    loads, asked = [], []
    lease, load = leases(loads, asked, gone=("b:1",))["a:1"]

    assert await lease.load(key_of("b:1"), load) == "by a:1"
    assert loads == ["a:1"]


async def test_what_the_holder_refuses_is_not_tried_again():
    """A holder that is there and cannot load has tried for all."""
    loads, asked = [], []
    lease, load = leases(loads, asked, refusing=("b:1",))["a:1"]

    with pytest.raises(ValueError, match="in trouble"):
        await lease.load(key_of("b:1"), load)
    assert loads == []


async def test_who_is_no_member_asks_nobody():
    """A process that does not know its own address loads for itself."""
    asked = []

    async def ask(member, key):
        asked.append(member)

    async def load():
        return 1

    lease = LoadLease("", MEMBERS, ask=ask, unreachable=lambda _: False)
    assert await lease.load("k", load) == 1
    assert asked == []
    assert repr(lease) == "<LoadLease '' of 0 members>"


async def test_a_fetched_copy_keeps_its_age():
    """What was 3 s old when it was fetched is expired 2 s later, of 5."""
    clock = FakeClock()
    cache = Coalescer(CacheConfig(ttl_s=5, jitter=0.0), clock=clock)
    ages = iter([3.0, 0.0])

    async def load():
        return Aged("copy", next(ages))

    first = await cache.get("k", load)
    clock.advance(1.9)
    hit = await cache.get("k", load)
    clock.advance(0.2)
    again = await cache.get("k", load)

    # Also whoever waited for it is told how old it is.
    assert (first.source, first.age_s) == ("fresh", 3.0)
    assert (hit.source, round(hit.age_s, 1)) == ("hit", 4.9)
    assert again.source == "fresh"
