"""How much an answer matters: four criticalities, carried from hop to hop.

These are the SRE book's, chapter "Handling Overload". Within one, a level of 0 to 99
ranks users, so that every hop turns the same ones away and the others are served
whole: the user priority of WeChat's DAGOR (Zhou et al., SoCC 2018).
"""

import contextlib
import enum
import hashlib
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

LEVELS = 100
"""Levels within a criticality."""

# As often is a user given another level: nobody is to be the last for ever.
_TURN_S = 3600.0

CURRENT_CRITICALITY: ContextVar[Criticality | None] = ContextVar(
    "resilience_criticality", default=None
)

CURRENT_LEVEL: ContextVar[int | None] = ContextVar("resilience_level", default=None)


def user_level(key: str, now: float) -> int:
    """Return the level of the user *key* at *now*, in seconds of the wall clock.

    Every process finds the same one. It holds for an hour of that clock.
    """
    text = f"{int(now / _TURN_S)}:{key}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) % LEVELS


def parse_level(value: str | bytes | None) -> int | None:
    """Read the level that a caller sent; None for nothing, and for what is no level."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    # Two ASCII digits at most; int() would take more than this.
    if value is None or len(value) > 2 or not (value.isascii() and value.isdigit()):
        return None
    return int(value)


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


def current_level() -> int | None:
    """Return the level of the request at hand, None when it has none."""
    return CURRENT_LEVEL.get()


@contextlib.contextmanager
def criticality_scope(
    level: Criticality | None, *, user: int | None = None
) -> Iterator[None]:
    """Make the calls inside as critical as *level* says; None leaves it untold.

    *user* is the level within it, see `user_level`; None leaves that as it is.
    Raises ValueError if it is not 0 to 99.
    """
    if user is not None and not 0 <= user < LEVELS:
        raise ValueError(f"user must be 0 to {LEVELS - 1}")
    token = CURRENT_CRITICALITY.set(level)
    held = None if user is None else CURRENT_LEVEL.set(user)
    try:
        yield
    finally:
        CURRENT_CRITICALITY.reset(token)
        if held is not None:
            CURRENT_LEVEL.reset(held)
