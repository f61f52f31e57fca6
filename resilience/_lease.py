"""One load for many processes: the one that a key belongs to makes it for all.

Rendezvous hashing (Thaler and Ravishankar, 1998) tells every process the same holder
without a shared store; asking it for its copy is groupcache's peer fill, and what
memcached's leases (Nishtala et al., NSDI 2013) are for.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from resilience._coalesce import Aged

V = TypeVar("V")


def rendezvous(key: str, members: Sequence[str]) -> str:
    """Return the member with the highest weight for *key*, whoever asks.

    A member that comes or goes moves only the keys that are or were its own.
    Raises ValueError when there are no members.
    """
    if not members:
        raise ValueError("rendezvous hashing needs at least one member")
    return max(members, key=lambda member: (_weight(key, member), member))


def _weight(key: str, member: str) -> bytes:
    return hashlib.blake2b(f"{member}\0{key}".encode(), digest_size=8).digest()


class LoadLease(Generic[V]):
    """Loads by key, made by one member for all; for one event loop.

    *own* is this process among *members*; where it is none of them, nobody is asked.
    *ask* fetches a key's copy from another member and tells its age in seconds, and
    *unreachable* whether what *ask* raised means that nobody was there: then we load
    for ourselves. What a member that was there refuses is raised: it has tried.
    """

    def __init__(
        self,
        own: str,
        members: Sequence[str],
        *,
        ask: Callable[[str, str], Awaitable[Aged[V]]],
        unreachable: Callable[[Exception], bool],
    ) -> None:
        self._own = own
        self._members = tuple(members) if own in members else ()
        self._ask = ask
        self._unreachable = unreachable

    def holder(self, key: str) -> str:
        """Return the member that loads *key*: another one's name, or our own."""
        return rendezvous(key, self._members) if self._members else self._own

    async def load(self, key: str, load: Callable[[], Awaitable[V]]) -> V | Aged[V]:
        """Return the holder's copy of *key*, or what *load* gives.

        Raises what the holder refused with, and what *load* raises.
        """
        holder = self.holder(key)
        if holder != self._own:
            try:
                return await self._ask(holder, key)
            except Exception as error:
                if not self._unreachable(error):
                    raise
        return await load()

    def __repr__(self) -> str:
        return f"<LoadLease {self._own!r} of {len(self._members)} members>"
