"""What a server tells its clients of its load: the ORCA trailer of gRFC A51.

grpcio has no API for it, so the report is written by hand: five fields, all doubles,
of xds.data.orca.v3.OrcaLoadReport.
"""

import math
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

TRAILER: Final = "endpoint-load-metrics-bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """One report; *utilization* 1.0 is as much as the server can do, or wants to.

    A weighted_round_robin client takes *utilization*, or *cpu* where that is 0.
    Raises ValueError for a value that is negative or not finite.
    """

    cpu: float = 0.0
    memory: float = 0.0
    requests_per_s: float = 0.0
    errors_per_s: float = 0.0
    utilization: float = 0.0

    def __post_init__(self) -> None:
        for _, value in self._fields():
            if not 0 <= value < math.inf:
                raise ValueError(f"a load is 0 or more, not {value}")

    def _fields(self) -> tuple[tuple[int, float], ...]:
        return (
            (1, self.cpu),
            (2, self.memory),
            (6, self.requests_per_s),
            (7, self.errors_per_s),
            (9, self.utilization),
        )

    def encode(self) -> bytes:
        """Return the protobuf message; fields that are 0 are left out."""
        return b"".join(
            bytes((number << 3 | 1,)) + struct.pack("<d", value)
            for number, value in self._fields()
            if value
        )


def limit_utilization(
    interceptor: Any, *, most: int | None = None
) -> Callable[[], float]:
    """Return what tells how full a resilience server interceptor is.

    Calls in flight by its adaptive limit; before it has one, or without one, by
    *most* (0 without that).
    """
    admission = interceptor.admission

    def utilization() -> float:
        limiter = admission.limiter
        if limiter is not None:
            return float(limiter.in_flight / max(1, limiter.limit))
        return float(admission.in_flight / most) if most else 0.0

    return utilization


class LoadReporter:
    """Counts requests and errors of the last *window_s* seconds. Safe between threads.

    *utilization*, *cpu* and *memory* are asked for each report, outside of the lock:
    `limit_utilization` of the server's own interceptor, say. O(1) for each request;
    memory is bounded by the seconds of the window. Raises ValueError.
    """

    def __init__(
        self,
        utilization: Callable[[], float],
        *,
        cpu: Callable[[], float] | None = None,
        memory: Callable[[], float] | None = None,
        window_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not window_s > 0:
            raise ValueError("window_s must be more than 0 seconds")
        self._utilization = utilization
        self._cpu = cpu
        self._memory = memory
        self._window_s = window_s
        self._clock = clock
        self._begun = clock()
        self._lock = threading.Lock()
        # Each part is [its second, requests, errors].
        self._parts: deque[list[int]] = deque()
        self._requests = 0
        self._errors = 0

    def ended(self, *, ok: bool) -> None:
        """Take in one answered request."""
        second = math.floor(self._clock())
        with self._lock:
            if not self._parts or self._parts[-1][0] < second:
                self._parts.append([second, 0, 0])
                self._drop(second)
            self._parts[-1][1] += 1
            self._requests += 1
            if not ok:
                self._parts[-1][2] += 1
                self._errors += 1

    def report(self) -> LoadReport:
        """Return the load as it is now.

        Raises what the callables raise, and ValueError for a load they cannot mean.
        """
        now = self._clock()
        with self._lock:
            first = self._drop(math.floor(now))
            requests, errors = self._requests, self._errors
        # Whole seconds are forgotten, so the window that is left differs a little.
        span = max(1.0, min(now - first, now - self._begun))
        return LoadReport(
            cpu=0.0 if self._cpu is None else self._cpu(),
            memory=0.0 if self._memory is None else self._memory(),
            requests_per_s=requests / span,
            errors_per_s=errors / span,
            utilization=self._utilization(),
        )

    def _drop(self, second: int) -> int:
        """Forget what is over; return the first second that still counts."""
        first = math.floor(second - self._window_s) + 1
        while self._parts and self._parts[0][0] < first:
            _, requests, errors = self._parts.popleft()
            self._requests -= requests
            self._errors -= errors
        return first

    def __repr__(self) -> str:
        return (
            f"<LoadReporter {self._requests} requests, {self._errors} errors "
            f"in {self._window_s:g} s>"
        )
