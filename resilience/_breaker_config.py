"""How a circuit breaker judges, and what it hands out."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from resilience._checks import refuse_nan, refuse_unknown

Mode = Literal["normal", "forced_open", "disabled", "metrics_only"]
_MODES: Final = ("normal", "forced_open", "disabled", "metrics_only")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """The thresholds of one breaker; names and meaning follow resilience4j.

    Rates are fractions in (0, 1], reached at "equal or more". A call is slow
    when it took longer than *slow_after_s* seconds. *window_size* counts calls
    ("count") or whole seconds ("time"); nothing is judged before *min_calls*.
    An open breaker admits nothing for *open_s* seconds, times *open_factor*
    for each time it opened again without closing, at most *open_max_s*.
    Half-open it admits exactly *half_open_permits* calls, and opens again when
    one of them has not told *half_open_max_wait_s* seconds after the last one was
    admitted (None waits for ever). Of these, a stream tells by its first message. The
    open interval is spread by up to the fraction *open_jitter* both ways
    (resilience4j's randomised interval), never beyond the longer of *open_s* and
    *open_max_s*. In another *mode* than "normal" it refuses
    everything ("forced_open"), admits everything and records nothing ("disabled"),
    or only tells when it would have opened ("metrics_only").

    *failure_codes* are the statuses that count against the callee (None: all but
    HEALTHY_CODES, Envoy's list); those in *ignored_codes* count as nothing at all,
    as a cancelled call always does, also where *failure_codes* names them.

    Raises ValueError on values that contradict each other.
    """

    failure_rate: float = 0.5
    slow_rate: float = 1.0
    slow_after_s: float = 60.0
    window: Literal["count", "time"] = "count"
    window_size: int = 100
    min_calls: int = 20
    open_s: float = 5.0
    open_factor: float = 1.0
    open_max_s: float = 60.0
    half_open_permits: int = 5
    half_open_max_wait_s: float | None = 20.0
    open_jitter: float = 0.0
    mode: Mode = "normal"
    failure_codes: frozenset[str] | None = None
    ignored_codes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:  # noqa: C901, PLR0912  # a flat list of checks
        refuse_nan(self)
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1]")
        for name in ("slow_after_s", "open_s", "open_max_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0 seconds")
        for name in ("window_size", "min_calls", "half_open_permits"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.window not in {"count", "time"}:
            raise ValueError('window must be "count" or "time"')
        if self.window == "count" and self.min_calls > self.window_size:
            raise ValueError(
                "min_calls is more than a count window of window_size ever holds"
            )
        if math.isinf(self.open_s):
            raise ValueError('open_s must be finite; for ever is mode "forced_open"')
        if self.open_factor < 1:
            raise ValueError("open_factor must be at least 1")
        if not 0 <= self.open_jitter < 1:
            raise ValueError("open_jitter must be in [0, 1)")
        if self.mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}")
        refuse_unknown("failure_codes", self.failure_codes)
        refuse_unknown("ignored_codes", self.ignored_codes)
        if self.failure_codes and "OK" in self.failure_codes:
            raise ValueError("OK is no failure")
        if "OK" in self.ignored_codes:
            raise ValueError("OK is never ignored")
        if self.half_open_max_wait_s is not None and self.half_open_max_wait_s <= 0:
            raise ValueError("half_open_max_wait_s must be more than 0, or None")


class Permit:
    """The right to make one call, valid for one generation of the breaker."""

    __slots__ = ("generation", "settled", "trial")

    def __init__(self, generation: int, *, trial: bool) -> None:
        self.generation = generation
        self.trial = trial
        self.settled = False

    def __repr__(self) -> str:
        kind = "trial" if self.trial else "ordinary"
        told = "settled" if self.settled else "out"
        return f"<Permit {kind}, generation {self.generation}, {told}>"
