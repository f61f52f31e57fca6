"""What every kind of toxic has in common: its attributes are its JSON schema."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from links.errors import BadAttributesError

if TYPE_CHECKING:
    import random

    from links.lane import Lane
    from links.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes(ABC):
    """Whole numbers with defaults; a subclass names them and makes the stage."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise BadAttributesError(
                    f"{field.name} is a whole number, not {value!r}"
                )
            if value < 0:
                raise BadAttributesError(f"{field.name} is negative: {value}")

    @abstractmethod
    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage that does it in one lane."""

    def changed(self, values: Mapping[str, Any], *, strict: bool = True) -> Self:
        """Give a copy with `values` merged in.

        Raises BadAttributesError; for an unknown name only when `strict`.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(values) - known)
        if unknown and strict:
            raise BadAttributesError(f"unknown attribute: {', '.join(unknown)}")
        return replace(self, **{k: v for k, v in values.items() if k in known})

    def to_json(self) -> dict[str, int]:
        """Give the attributes as plain JSON values."""
        return asdict(self)
