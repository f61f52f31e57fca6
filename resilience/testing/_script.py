"""What a scripted server does, call by call."""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from resilience._wire import NO_RETRY, PUSHBACK


@dataclass(frozen=True, slots=True)
class Delay:
    """A step that waits *seconds* and then does *then*."""

    seconds: float
    then: Any = b""


@dataclass(frozen=True, slots=True)
class Hang:
    """A step that never answers: it lasts until the call is cancelled or late."""


@dataclass(frozen=True, slots=True)
class Fail:
    """A step that ends the call with *code*, *details* and *trailers*."""

    code: str
    details: str = "scripted"
    trailers: tuple[tuple[str, str | bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Trailers:
    """A step that sets the answer's *trailers* and then does *then*."""

    trailers: tuple[tuple[str, str | bytes], ...]
    then: Any = b""


def push_back(code: str = "UNAVAILABLE", *, after_ms: int | None = None) -> Fail:
    """Return a failure that says when to retry: *after_ms*, or (None) never."""
    value = NO_RETRY if after_ms is None else str(after_ms)
    return Fail(code, trailers=((PUSHBACK, value),))


class Script:
    """What a scripted server does, call by call; the last step repeats.

    A step is a status name, a response, a list of them for a stream of responses,
    `Delay`, `Hang`, `Fail`, `Trailers`, or a callable that is given the request and
    returns one of these. `next` returns the step and counts the call under *method*.
    Safe between threads. Raises ValueError without a step.
    """

    def __init__(self, steps: Iterable[Any]) -> None:
        self._steps = deque(steps)
        if not self._steps:
            raise ValueError("a script needs at least one step")
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()

    def next(self, method: str = "") -> Any:
        """Return what this call is to do."""
        with self._lock:
            self.calls[method] += 1
            if len(self._steps) > 1:
                return self._steps.popleft()
            return self._steps[0]

    @property
    def total(self) -> int:
        """How many calls came, of all methods."""
        return sum(self.calls.values())
