"""A client that stops asking what refuses anyway.

Client-side throttling of the SRE book, chapter "Handling Overload": a call is not
sent with the probability max(0, (requests - K * accepts) / (requests + 1)). Requests
count before they are sent, which sees an outage a round trip earlier; but where nothing
was refused, requests without an answer yet are no reason to hold back others.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from resilience._errors import ThrottledError


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleConfig:
    """How much more than it accepts a callee is asked for.

    With *k* = 2 a client sends about twice as much as is accepted. Requests and
    accepts are those of the last *window_s* seconds; of all calls at most
    *max_probability* are held back, so that some always find out, and none while there
    were fewer than *min_calls*: one failure of one call tells nothing. Raises
    ValueError.
    """

    k: float = 2.0
    window_s: float = 120.0
    max_probability: float = 0.95
    min_calls: int = 10

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError("k must be at least 1")
        if self.window_s <= 0:
            raise ValueError("window_s must be more than 0 seconds")
        if not 0 < self.max_probability < 1:
            raise ValueError("max_probability must be in (0, 1): some calls must pass")
        if self.min_calls < 0:
            raise ValueError("min_calls must not be negative")


class ClientThrottle:
    """Requests and accepts of one target. Safe between threads."""

    _PARTS = 60

    def __init__(
        self,
        name: str,
        config: ThrottleConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, no secret
        self._lock = threading.Lock()
        self._step = config.window_s / self._PARTS
        # Each is [its number, requests, accepts, refusals]; the newest is the last.
        self._parts: deque[list[int]] = deque()
        self.requests = 0
        self.accepts = 0
        self.refusals = 0

    @property
    def probability(self) -> float:
        """How likely the next call is held back."""
        with self._lock:
            self._part()
            return self._probability()

    def admit(self) -> None:
        """Count a request, before it is sent. Raises ThrottledError if it is not to be.

        One that is held back counts too: the callee would have refused it.
        """
        with self._lock:
            part = self._part()
            probability = self._probability()
            part[1] += 1
            self.requests += 1
        if probability and self._rng.random() < probability:
            raise ThrottledError(self.name, probability)

    def finished(self, *, accepted: bool) -> None:
        """Tell how a sent request ended: refused for overload, or anything else."""
        with self._lock:
            if accepted:
                self._part()[2] += 1
                self.accepts += 1
            else:
                self._part()[3] += 1
                self.refusals += 1

    def _probability(self) -> float:
        if not self.refusals or self.requests < self.config.min_calls:
            return 0.0
        surplus = self.requests - self.config.k * self.accepts
        if surplus <= 0:
            return 0.0
        return min(surplus / (self.requests + 1), self.config.max_probability)

    def _part(self) -> list[int]:
        number = int(self._clock() / self._step)
        parts = self._parts
        if not parts or parts[-1][0] < number:
            parts.append([number, 0, 0, 0])
            oldest = number - self._PARTS
            while parts[0][0] <= oldest:
                _, requests, accepts, refusals = parts.popleft()
                self.requests -= requests
                self.accepts -= accepts
                self.refusals -= refusals
        return parts[-1]

    def __repr__(self) -> str:
        return (
            f"<ClientThrottle {self.name} {self.accepts}/{self.requests} accepted, "
            f"{self.probability:.0%} held back>"
        )
