"""When a backend is an outlier, and what is done about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierConfig:
    """When a backend is put aside, and for how long; defaults are gRFC A50's.

    Every *interval_s* seconds the calls of the interval are judged:

    * where at least *minimum_hosts* backends had *request_volume* calls or more, those
      are compared: one is ejected whose success rate is below
      mean - stdev * *success_rate_stdev_factor* / 1000 (None: not judged so);
    * where there are at least *failure_minimum_hosts* backends (None: *minimum_hosts*),
      one is ejected of whose calls, *failure_request_volume* or more (None:
      *request_volume*; A50's own default is 50), more than
      *failure_percentage_threshold* percent failed (None: not judged so; A50's: 85).

    One with *consecutive_failures* in a row is ejected at once (None: not; Envoy's: 5).
    With little traffic this is the one that notices anything.

    An ejection lasts *base_ejection_s* times the number of ejections not yet made good,
    at most *max_ejection_s*, and ends at a sweep. Never more than
    *max_ejection_percent* of the backends are out, but one may always be. When less
    than *panic_percent* of them are left, all are used (0: the ejected never are).
    *enforcing_percent* of what was decided is done.
    """

    interval_s: float = 10.0
    base_ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    max_ejection_percent: float = 10.0
    success_rate_stdev_factor: float | None = 1900
    failure_percentage_threshold: float | None = None
    consecutive_failures: int | None = None
    minimum_hosts: int = 5
    request_volume: int = 100
    failure_minimum_hosts: int | None = None
    failure_request_volume: int | None = None
    enforcing_percent: float = 100.0
    panic_percent: float = 50.0

    @property
    def failure_hosts(self) -> int:
        """How many backends there must be for the failure percentage to be judged."""
        return self.failure_minimum_hosts or self.minimum_hosts

    @property
    def failure_volume(self) -> int:
        """How many calls a backend must have had for its failure percentage."""
        return self.failure_request_volume or self.request_volume

    def __post_init__(self) -> None:
        for name in ("interval_s", "base_ejection_s", "max_ejection_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be more than 0 seconds, and finite")
        for name in ("max_ejection_percent", "enforcing_percent", "panic_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} must be in [0, 100]")
        threshold = self.failure_percentage_threshold
        if threshold is not None and not 0 <= threshold <= 100:
            raise ValueError("failure_percentage_threshold must be in [0, 100]")
        factor = self.success_rate_stdev_factor
        if factor is not None and not factor >= 0:
            raise ValueError("success_rate_stdev_factor must not be negative")
        self._check_counts()

    def _check_counts(self) -> None:
        for name in ("minimum_hosts", "request_volume"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in (
            "consecutive_failures",
            "failure_minimum_hosts",
            "failure_request_volume",
        ):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise ValueError(f"{name} must be at least 1, or None")
