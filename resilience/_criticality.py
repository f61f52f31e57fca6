"""How much an answer matters: four levels, carried from hop to hop.

The levels are those of the SRE book's chapter "Handling Overload".
"""

import contextlib
import enum
from collections.abc import Iterator
from contextvars import ContextVar


class Criticality(enum.Enum):
    """What happens if the call fails; its value is what travels in the metadata."""

    CRITICAL_PLUS = "critical-plus"
    """Reserved for the few whose failure is a serious, visible loss."""

    CRITICAL = "critical"
    """Visible to users; the default, for which capacity is planned."""

    SHEDDABLE_PLUS = "sheddable-plus"
    """May fail for a while: batch work that is tried again."""

    SHEDDABLE = "sheddable"
    """May fail often, and be away for long."""

    @property
    def rank(self) -> int:
        """0 for the least critical, 3 for the most."""
        return _RANKS[self]


_LOWEST_FIRST = (
    Criticality.SHEDDABLE,
    Criticality.SHEDDABLE_PLUS,
    Criticality.CRITICAL,
    Criticality.CRITICAL_PLUS,
)
_RANKS = {level: rank for rank, level in enumerate(_LOWEST_FIRST)}
_BY_VALUE = {level.value: level for level in _LOWEST_FIRST}

CURRENT_CRITICALITY: ContextVar[Criticality | None] = ContextVar(
    "resilience_criticality", default=None
)


def parse_criticality(value: str | bytes | None) -> Criticality | None:
    """Read what a caller sent; None for nothing, and for what is no level."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return None if value is None else _BY_VALUE.get(value.strip().lower())


def lowered(level: Criticality) -> Criticality:
    """Return the level below *level*, for extra work such as hedges."""
    return _LOWEST_FIRST[max(0, level.rank - 1)]


def current_criticality() -> Criticality | None:
    """Return the criticality of the request at hand, None when it has none."""
    return CURRENT_CRITICALITY.get()


@contextlib.contextmanager
def criticality_scope(level: Criticality | None) -> Iterator[None]:
    """Make the calls inside as critical as *level* says; None leaves it untold."""
    token = CURRENT_CRITICALITY.set(level)
    try:
        yield
    finally:
        CURRENT_CRITICALITY.reset(token)
