"""A mapping that stays as it is."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

K = TypeVar("K")
V_co = TypeVar("V_co", covariant=True)


class Frozen(Mapping[K, V_co]):
    """A copy of a mapping that can be compared, hashed, copied and pickled."""

    __slots__ = ("_held",)

    def __init__(self, held: Mapping[K, V_co] | None = None) -> None:
        self._held = dict(held or {})

    def __getitem__(self, key: K) -> V_co:
        return self._held[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __hash__(self) -> int:
        return hash(frozenset(self._held.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._held,)

    def __repr__(self) -> str:
        return f"Frozen({self._held!r})"
