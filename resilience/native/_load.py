"""What a server tells its clients of its load: the ORCA trailer of gRFC A51.

grpcio has no API for it, so the report is written by hand: five fields, all doubles,
of xds.data.orca.v3.OrcaLoadReport.
"""

import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TRAILER: Final = "endpoint-load-metrics-bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """One report; *utilization* 1.0 is as much as the server can do, or wants to."""

    cpu: float = 0.0
    memory: float = 0.0
    requests_per_s: float = 0.0
    errors_per_s: float = 0.0
    utilization: float = 0.0

    def encode(self) -> bytes:
        """Return the protobuf message; fields that are 0 are left out."""
        fields = (
            (1, self.cpu),
            (2, self.memory),
            (6, self.requests_per_s),
            (7, self.errors_per_s),
            (9, self.utilization),
        )
        return b"".join(
            bytes((number << 3 | 1,)) + struct.pack("<d", value)
            for number, value in fields
            if value
        )


class LoadReporter:
    """Counts requests and errors of the last *window_s* seconds. Safe between threads.

    *utilization* is asked for each report: the adaptive limit's in-flight by its
    limit, say.
    """

    def __init__(
        self,
        utilization: Callable[[], float],
        *,
        window_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if window_s <= 0:
            raise ValueError("window_s must be more than 0 seconds")
        self._utilization = utilization
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
        second = int(self._clock())
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
        """Return the load as it is now."""
        now = self._clock()
        with self._lock:
            self._drop(int(now))
            span = max(1.0, min(self._window_s, now - self._begun))
            return LoadReport(
                requests_per_s=self._requests / span,
                errors_per_s=self._errors / span,
                utilization=max(0.0, self._utilization()),
            )

    def _drop(self, second: int) -> None:
        while self._parts and self._parts[0][0] <= second - self._window_s:
            _, requests, errors = self._parts.popleft()
            self._requests -= requests
            self._errors -= errors

    def __repr__(self) -> str:
        return f"<LoadReporter {self.report()!r}>"
