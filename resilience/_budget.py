"""One token bucket that retries (and later hedges) to a target share.

The algorithm is gRFC A6's retry throttling, in thousandths of a token as
gRPC's own implementations count, so that ratios add up exactly.
"""

import threading
from dataclasses import dataclass

from resilience._checks import refuse_nan


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetConfig:
    """How many retries a target's failures allow.

    A failure takes one token, a success gives *token_ratio* back, and there
    are retries only while more than half of *max_tokens* is left. In a total
    outage that makes about max_tokens / 2 retries, whatever the traffic.
    Raises ValueError outside the ranges that A6 allows.
    """

    max_tokens: float = 10.0
    token_ratio: float = 0.1

    def __post_init__(self) -> None:
        refuse_nan(self)
        if not 0 < self.max_tokens <= 1000:
            raise ValueError("max_tokens must be in (0, 1000]")
        if self.token_ratio <= 0:
            raise ValueError("token_ratio must be more than 0")


class TokenBucket:
    """The tokens of one target; full at first. Safe between threads."""

    __slots__ = ("_config", "_lock", "_max", "_ratio", "_tokens")

    def __init__(self, config: BudgetConfig) -> None:
        self._lock = threading.Lock()
        self._config = config
        self._max, self._ratio = _thousandths(config)
        self._tokens = self._max

    @property
    def config(self) -> BudgetConfig:
        """The configuration in force."""
        return self._config

    @property
    def tokens(self) -> float:
        """Tokens left."""
        return self._tokens / 1000

    @property
    def allows(self) -> bool:
        """Whether a retry would be allowed now."""
        return self._tokens * 2 > self._max

    def failed(self) -> bool:
        """Take one token for a failure; return whether it may be retried."""
        with self._lock:
            self._tokens = max(0, self._tokens - 1000)
            return self._tokens * 2 > self._max

    def succeeded(self) -> None:
        """Give back what a success is worth."""
        # Read without the lock: a full bucket, the usual case, has nothing to gain.
        if self._tokens == self._max:
            return
        with self._lock:
            self._tokens = min(self._max, self._tokens + self._ratio)

    def reconfigure(self, config: BudgetConfig) -> None:
        """Take *config* over and stay as full as before, in proportion."""
        with self._lock:
            full = self._tokens / self._max
            self._config = config
            self._max, self._ratio = _thousandths(config)
            self._tokens = round(full * self._max)

    def __repr__(self) -> str:
        word = "allows retries" if self.allows else "spent"
        return f"<TokenBucket {self.tokens:g}/{self._max / 1000:g}, {word}>"


def _thousandths(config: BudgetConfig) -> tuple[int, int]:
    # At least one: a bucket of nothing has no part that is left.
    most = max(1, round(config.max_tokens * 1000))
    return most, max(1, round(config.token_ratio * 1000))
