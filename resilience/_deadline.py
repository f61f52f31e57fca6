"""The time that is left for the request at hand, carried from hop to hop."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar


class Deadline:
    """A moment on a monotonic clock after which the answer helps nobody."""

    __slots__ = ("_clock", "at")

    def __init__(
        self, at: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.at = at
        self._clock = clock

    @classmethod
    def after(
        cls, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> "Deadline":
        """Return the deadline *seconds* from now."""
        return cls(clock() + seconds, clock=clock)

    def remaining(self) -> float:
        """Seconds left, negative once it has passed."""
        return self.at - self._clock()

    @property
    def expired(self) -> bool:
        """True once it has passed."""
        return self.remaining() <= 0

    def shrink(self, reserve_s: float) -> "Deadline":
        """Return an earlier deadline that keeps *reserve_s* seconds for ourselves."""
        return Deadline(self.at - reserve_s, clock=self._clock)

    def __repr__(self) -> str:
        return f"<Deadline in {self.remaining():.3f} s>"


CURRENT: ContextVar[Deadline | None] = ContextVar("resilience_deadline", default=None)


def current_deadline() -> Deadline | None:
    """Return the deadline of the request at hand, None when it has none."""
    return CURRENT.get()


@contextlib.contextmanager
def deadline_scope(limit: float | Deadline | None) -> Iterator[Deadline | None]:
    """Bound the calls made inside by *limit*, in seconds or as a Deadline.

    An earlier deadline around it stays in force; None lifts it, for work that
    belongs to no request.
    """
    deadline: Deadline | None
    if limit is None:
        deadline = None
    else:
        deadline = limit if isinstance(limit, Deadline) else Deadline.after(limit)
        outer = CURRENT.get()
        if outer is not None and outer.at < deadline.at:
            deadline = outer
    token = CURRENT.set(deadline)
    try:
        yield deadline
    finally:
        CURRENT.reset(token)
