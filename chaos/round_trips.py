"""Measures the fault from outside: statements through the links that it sits on.

Connections are opened before the fault, since opening one through it takes many round
trips; a toxic acts on connections that exist already.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

SAMPLES = 2
STATEMENT_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One way to the server: a link's name, where to dial it, its distance."""

    link: str
    listen: str
    rtt_ms: float


class RoundTrips:
    """Open connections through links to one server, timed on demand."""

    def __init__(self, admin: str, paths: Iterable[Path]) -> None:
        self._paths = {path.link: path for path in paths}
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        try:
            for name, path in self._paths.items():
                host, _, port = path.listen.rpartition(":")
                self._connections[name] = psycopg.connect(
                    make_conninfo(
                        admin,
                        host=host,
                        port=int(port),
                        connect_timeout=10,
                        application_name="seawall-chaos-probe",
                    ),
                    autocommit=True,
                    prepare_threshold=None,
                )
        except BaseException:
            self.close()
            raise

    def measure(self, samples: int = SAMPLES) -> dict[str, float | None]:
        """Time `SELECT 1` through every link at once: the best of some, in ms.

        None for a link on which no statement came back.
        """
        names = list(self._connections)
        if not names:
            return {}
        with ThreadPoolExecutor(len(names)) as pool:
            found = pool.map(lambda name: self._best(name, samples), names)
            return dict(zip(names, found, strict=True))

    def distances(self) -> Mapping[str, float]:
        """Tell the distance that each link has without a fault, in ms."""
        return {name: path.rtt_ms for name, path in self._paths.items()}

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            with contextlib.suppress(psycopg.Error):
                connection.close()
        self._connections.clear()

    def _best(self, name: str, samples: int) -> float | None:
        best: float | None = None
        for _ in range(samples):
            began = time.perf_counter()
            try:
                self._connections[name].execute("SELECT 1")
            except psycopg.Error:
                return best
            took = round((time.perf_counter() - began) * 1000, 2)
            best = took if best is None else min(best, took)
        return best


def best_of(
    earlier: Mapping[str, float | None], later: Mapping[str, float | None]
) -> dict[str, float | None]:
    """Put two measurements together: the shorter time of each link."""
    found: dict[str, float | None] = {}
    for name in (*earlier, *later):
        times = [
            took for took in (earlier.get(name), later.get(name)) if took is not None
        ]
        found[name] = min(times, default=None)
    return found


def bites(
    measured: Mapping[str, float | None],
    distances: Mapping[str, float],
    *,
    at_least_ms: float,
) -> list[str]:
    """Tell the links on which the fault is not felt; none when it is in force."""
    return [
        f"{name}: {took if took is not None else 'no answer'} ms"
        for name, took in measured.items()
        if took is None or took - distances.get(name, 0.0) < at_least_ms
    ] or ([] if measured else ["no link was measured"])


def lingers(
    measured: Mapping[str, float | None],
    distances: Mapping[str, float],
    *,
    at_most_ms: float,
) -> list[str]:
    """Tell the links on which the fault is still felt; none when it is gone."""
    return [
        f"{name}: {took if took is not None else 'no answer'} ms"
        for name, took in measured.items()
        if took is None or took - distances.get(name, 0.0) > at_most_ms
    ] or ([] if measured else ["no link was measured"])


def felt_ms(
    measured: Mapping[str, float | None], distances: Mapping[str, float]
) -> float | None:
    """Give what a fault adds to a round trip: the median of the links' delays."""
    added = [
        took - distances.get(name, 0.0)
        for name, took in measured.items()
        if took is not None
    ]
    return round(median(added), 1) if added else None
