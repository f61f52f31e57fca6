"""When a failed attempt is made again, and how long after.

Waits and stop rules are tenacity's; only the randomness is taken out of them,
so that it can be injected. Nothing of this exists until an attempt has failed.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from tenacity import stop_after_attempt, wait_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from resilience._checks import refuse_nan, refuse_unknown

Jitter = Literal["full", "equal", "decorrelated", "grpc", "none"]

STOP: Final = -1.0

_PUSHBACK_MAX_MS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """Which failures are tried again, how often, and after what wait.

    *attempts* counts the first one. The wait before attempt n+1 grows from
    *backoff_s* by *multiplier* up to *backoff_max_s* (tenacity's
    wait_exponential) and is spread by *jitter*: "full", "equal" and
    "decorrelated" as in AWS's "Exponential Backoff And Jitter", "grpc" as in
    gRFC A6 (0.8 to 1.2 of it). *wait* and *stop* take any tenacity strategy
    instead; they may read attempt_number, seconds_since_start, idle_for and
    upcoming_sleep. *attempt_timeout_s* bounds each attempt by itself, and one
    that runs into it counts as retryable while the whole call has time left.

    There is no cap on *attempts*; A6 takes more than 5 for 5, so that a native
    service config made of this retries less. Raises ValueError.
    """

    attempts: int = 3
    backoff_s: float = 0.05
    backoff_max_s: float = 1.0
    multiplier: float = 2.0
    jitter: Jitter = "full"
    retry_on: frozenset[str] = frozenset({"UNAVAILABLE"})
    attempt_timeout_s: float | None = None
    wait: wait_base | None = None
    stop: stop_base | None = None

    def __post_init__(self) -> None:
        refuse_nan(self)
        if self.attempts < 1:
            raise ValueError("attempts must be at least 1")
        if self.backoff_s < 0 or self.backoff_max_s < self.backoff_s:
            raise ValueError("0 <= backoff_s <= backoff_max_s must hold")
        if self.multiplier < 1:
            raise ValueError("multiplier must be at least 1")
        if self.attempt_timeout_s is not None and self.attempt_timeout_s <= 0:
            raise ValueError("attempt_timeout_s must be more than 0, or None")
        refuse_unknown("retry_on", self.retry_on)
        if "OK" in self.retry_on or "CANCELLED" in self.retry_on:
            raise ValueError("OK and CANCELLED are never retried")
        if self.jitter not in {"full", "equal", "decorrelated", "grpc", "none"}:
            raise ValueError(f"unknown jitter {self.jitter!r}")


class RetryState:
    """One call's retries; what tenacity's strategies may read of them."""

    __slots__ = (
        "_clock",
        "_config",
        "_last",
        "_rng",
        "_started",
        "_step",
        "attempt_number",
        "idle_for",
        "upcoming_sleep",
    )

    def __init__(
        self,
        config: RetryConfig,
        *,
        started: float,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._started = started
        self._step = 0
        self._last = config.backoff_s
        self.attempt_number = 0
        self.idle_for = 0.0
        self.upcoming_sleep = 0.0

    @property
    def seconds_since_start(self) -> float:
        """Seconds since the first attempt was made."""
        return self._clock() - self._started

    def next_delay(self, *, pushback_s: float | None = None) -> float:
        """Count one failed attempt; return the seconds to wait, or STOP."""
        config = self._config
        self.attempt_number += 1
        self._step += 1
        if pushback_s is not None:
            # A6: the server's own delay replaces the backoff, which starts anew.
            self._step = 0
            self._last = config.backoff_s
            delay = pushback_s
        else:
            delay = self._backoff()
        self.upcoming_sleep = delay
        stop: Any = config.stop or stop_after_attempt(config.attempts)
        if stop(self):
            return STOP
        self.idle_for += delay
        return delay

    def _backoff(self) -> float:
        config, rng = self._config, self._rng
        if config.wait is not None:
            wait: Any = config.wait
            return float(wait(self))
        if config.jitter == "decorrelated":
            # The first wait is random too: in AWS's code "last" starts as the base.
            drawn = rng.uniform(config.backoff_s, self._last * 3)
            self._last = min(config.backoff_max_s, drawn)
            return self._last
        real, self.attempt_number = self.attempt_number, self._step
        exponential: Any = wait_exponential(
            multiplier=config.backoff_s,
            max=config.backoff_max_s,
            exp_base=config.multiplier,
        )
        ceiling = float(exponential(self))
        self.attempt_number = real
        if config.jitter == "full":
            return rng.uniform(0.0, ceiling)
        if config.jitter == "equal":
            return ceiling / 2 + rng.uniform(0.0, ceiling / 2)
        if config.jitter == "grpc":
            return ceiling * rng.uniform(0.8, 1.2)
        return ceiling

    def __repr__(self) -> str:
        return (
            f"<RetryState {self.attempt_number} failed, "
            f"next after {self.upcoming_sleep:.3g} s>"
        )


def parse_pushback(values: Iterable[str | bytes]) -> float | None:
    """Read the server's grpc-retry-pushback-ms trailers, as gRFC A6 says.

    Returns None where there is none, the seconds to wait, or STOP: for a
    negative number, for what is no 32-bit number, and for two of them.
    """
    found = list(values)
    if not found:
        return None
    if len(found) > 1:
        return STOP
    text = found[0].decode("latin-1") if isinstance(found[0], bytes) else found[0]
    if not (text.isascii() and text.isdigit()):
        return STOP
    digits = text.lstrip("0")
    # Its length first: int() itself raises on thousands of digits.
    if len(digits) > 10 or int(digits or "0") > _PUSHBACK_MAX_MS:
        return STOP
    return int(digits or "0") / 1000
