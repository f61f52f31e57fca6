"""The limit that keeps a short queue: TCP Vegas, as Netflix' VegasLimit has it.

Brakmo, O'Malley, Peterson, "TCP Vegas", SIGCOMM 1994; concurrency-limits, VegasLimit.
"""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VegasConfig:
    """The calls that wait, as the least latency tells them, steer the limit.

    Of the calls in flight, limit * (1 - least latency / latency) are in a queue. Fewer
    than *alpha* let the limit rise, more than *beta* make it fall, hardly any let it
    rise by *beta*; each is for a limit below 100 and counts as often as the limit's
    logarithm to base 10. *smoothing* is the weight of a new estimate. The least latency
    is measured anew after *probe* times the limit's number of samples, at random up to
    half of that earlier. Raises ValueError.
    """

    initial: int = 20
    least: int = 1
    most: int = 1000
    alpha: int = 3
    beta: int = 6
    smoothing: float = 1.0
    probe: int = 30

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.initial <= self.most:
            raise ValueError("1 <= least <= initial <= most must hold")
        if not 1 <= self.alpha <= self.beta:
            raise ValueError("1 <= alpha <= beta must hold")
        if not 0 < self.smoothing <= 1:
            raise ValueError("smoothing must be in (0, 1]")
        if self.probe < 1:
            raise ValueError("probe must be at least 1")


class VegasLimit:
    """See VegasConfig."""

    def __init__(
        self, config: VegasConfig, *, rng: random.Random | None = None
    ) -> None:
        self._config = config
        self._rng = rng or random.Random()  # noqa: S311  # spreads probes, no secret
        self._estimate = float(config.initial)
        self._shortest_s = 0.0
        self._samples = 0
        self._early = self._rng.uniform(0.5, 1.0)

    @property
    def value(self) -> int:
        """The limit in whole calls."""
        return int(self._estimate)

    def update(self, rtt_s: float, in_flight: int, *, dropped: bool) -> None:
        """Learn from one call, or from a window of them."""
        if dropped:
            # Never the least latency: a refusal is quick.
            self._move(-_log10(self._estimate))
            return
        if rtt_s <= 0:
            return
        self._samples += 1
        if self._samples >= self._early * self._config.probe * self._estimate:
            self._samples = 0
            self._early = self._rng.uniform(0.5, 1.0)
            self._shortest_s = rtt_s
        elif not self._shortest_s or rtt_s < self._shortest_s:
            self._shortest_s = rtt_s
        elif in_flight * 2 >= self._estimate:
            self._move(self._step(rtt_s))

    def _step(self, rtt_s: float) -> int:
        config, step = self._config, _log10(self._estimate)
        queued = math.ceil(self._estimate * (1 - self._shortest_s / rtt_s))
        if queued <= step:
            return config.beta * step
        if queued < config.alpha * step:
            return step
        return -step if queued > config.beta * step else 0

    def _move(self, step: int) -> None:
        config = self._config
        wanted = max(config.least, min(config.most, self._estimate + step))
        self._estimate += (wanted - self._estimate) * config.smoothing

    def __repr__(self) -> str:
        return f"<VegasLimit {self.value}, {self._shortest_s * 1000:.1f} ms at least>"


def _log10(limit: float) -> int:
    return max(1, int(math.log10(limit)))
