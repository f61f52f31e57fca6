"""How many calls at once a callee bears, learnt from how long they take.

The algorithms are those of Netflix' concurrency-limits: FixedLimit, AIMDLimit,
Gradient2Limit and ExpAvgMeasurement, with their defaults; VegasLimit is in `_vegas`.
"""

from dataclasses import dataclass
from typing import Protocol

from resilience._vegas import VegasConfig, VegasLimit


class Limit(Protocol):
    """An estimate of the bearable concurrency."""

    @property
    def value(self) -> int:
        """How many calls at once."""

    def update(self, rtt_s: float, in_flight: int, *, dropped: bool) -> None:
        """Learn from one call, or from a window of them.

        *rtt_s* of 0 says that nothing is known of the latency.
        """


def _check(initial: int, least: int, most: int) -> None:
    if not 1 <= least <= initial <= most:
        raise ValueError("1 <= least <= initial <= most must hold")


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedConfig:
    """A limit of *limit* calls that never changes. Raises ValueError below 1."""

    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError("limit must be at least 1 call")


class FixedLimit:
    """See FixedConfig."""

    def __init__(self, config: FixedConfig) -> None:
        self.value = config.limit

    def update(self, rtt_s: float, in_flight: int, *, dropped: bool) -> None:
        """Learn nothing."""

    def __repr__(self) -> str:
        return f"<FixedLimit {self.value}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class AIMDConfig:
    """Additive increase, multiplicative decrease, as TCP Reno does it.

    One more for each call that went well while half of the limit was in use; times
    *backoff* for one that was dropped or took longer than *timeout_s* seconds.
    """

    initial: int = 20
    least: int = 1
    most: int = 200
    backoff: float = 0.9
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        _check(self.initial, self.least, self.most)
        if not 0.5 <= self.backoff < 1:
            raise ValueError("backoff must be in [0.5, 1)")
        if self.timeout_s <= 0:
            raise ValueError("timeout_s must be more than 0 seconds")


class AIMDLimit:
    """See AIMDConfig."""

    def __init__(self, config: AIMDConfig) -> None:
        self._config = config
        self.value = config.initial

    def update(self, rtt_s: float, in_flight: int, *, dropped: bool) -> None:
        """Learn from one call."""
        config = self._config
        if dropped or rtt_s > config.timeout_s:
            self.value = int(self.value * config.backoff)
        elif in_flight * 2 >= self.value:
            self.value += 1
        self.value = min(config.most, max(config.least, self.value))

    def __repr__(self) -> str:
        return f"<AIMDLimit {self.value}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient2Config:
    """The ratio of the long-term to the recent latency steers the limit.

    *tolerance* is how much slower than usual is not yet a queue, *queue* how many
    calls more than needed are let in, *smoothing* the weight of a new estimate,
    *long_window* the samples that the long-term average goes back.
    """

    initial: int = 20
    least: int = 20
    most: int = 200
    smoothing: float = 0.2
    long_window: int = 600
    tolerance: float = 1.5
    queue: int = 4

    def __post_init__(self) -> None:
        _check(self.initial, self.least, self.most)
        if not 0 < self.smoothing <= 1:
            raise ValueError("smoothing must be in (0, 1]")
        if self.long_window < 1:
            raise ValueError("long_window must be at least 1")
        if self.tolerance < 1:
            raise ValueError("tolerance must be at least 1")
        if self.queue < 0:
            raise ValueError("queue must not be negative")


class ExpAverage:
    """An exponential average that begins as the plain mean of *warmup* samples."""

    def __init__(self, window: int, warmup: int) -> None:
        self._factor = 2.0 / (window + 1)
        self._warmup = warmup
        self._count = 0
        self._sum = 0.0
        self.value = 0.0

    def add(self, sample: float) -> float:
        """Take in *sample* and return the average."""
        if self._count < self._warmup:
            self._count += 1
            self._sum += sample
            self.value = self._sum / self._count
        else:
            self.value += (sample - self.value) * self._factor
        return self.value


class Gradient2Limit:
    """See Gradient2Config."""

    def __init__(self, config: Gradient2Config) -> None:
        self._config = config
        self._estimate = float(config.initial)
        self._long = ExpAverage(config.long_window, 10)

    @property
    def value(self) -> int:
        """The limit in whole calls."""
        return int(self._estimate)

    def update(self, rtt_s: float, in_flight: int, *, dropped: bool) -> None:
        """Learn from a window of calls.

        A drop shows in the latency. Where none is known for all were dropped, the
        limit falls as with a latency out of all bounds.
        """
        config, estimate = self._config, self._estimate
        if rtt_s <= 0:
            if dropped:
                self._estimate = max(
                    config.least, estimate * (1 - config.smoothing / 2)
                )
            return
        long = self._long.add(rtt_s)
        if long / rtt_s > 2:
            # Latency fell back to normal: forget the bad time faster.
            self._long.value *= 0.95
        if in_flight < estimate / 2:
            return
        gradient = max(0.5, min(1.0, config.tolerance * long / rtt_s))
        wanted = estimate * gradient + config.queue
        estimate = estimate * (1 - config.smoothing) + wanted * config.smoothing
        self._estimate = max(config.least, min(config.most, estimate))

    def __repr__(self) -> str:
        return f"<Gradient2Limit {self.value}, {self._long.value * 1000:.1f} ms usual>"


LimitAlgorithm = FixedConfig | AIMDConfig | VegasConfig | Gradient2Config


def build_limit(config: LimitAlgorithm) -> Limit:
    """Return a limit that follows *config*."""
    if isinstance(config, FixedConfig):
        return FixedLimit(config)
    if isinstance(config, AIMDConfig):
        return AIMDLimit(config)
    if isinstance(config, VegasConfig):
        return VegasLimit(config)
    return Gradient2Limit(config)
