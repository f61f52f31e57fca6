"""How a time grows with the size of the data: a line through what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BYTES_PER_GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A time in seconds at the size asked for, and how much a gigabyte adds.

    `grows` is false where the larger data did not take longer: then the time is the
    longest that was measured, and nothing is said about larger data but that.
    """

    gigabytes: float
    seconds: float
    seconds_per_gb: float
    grows: bool


def extrapolate(
    measured: Sequence[tuple[int, float]], *, gigabytes: float
) -> Growth | None:
    """Extend (bytes, seconds) pairs to a size; None with fewer than two sizes.

    A least-squares line. It holds where bytes are what takes the time; with two
    sizes it cannot tell how far it is off.
    """
    sizes = [size / BYTES_PER_GB for size, _ in measured]
    times = [seconds for _, seconds in measured]
    if len(set(sizes)) < 2:
        return None
    middle = sum(sizes) / len(sizes)
    mean = sum(times) / len(times)
    spread = sum((size - middle) ** 2 for size in sizes)
    slope = (
        sum(
            (size - middle) * (seconds - mean)
            for size, seconds in zip(sizes, times, strict=True)
        )
        / spread
    )
    if slope <= 0:
        return Growth(
            gigabytes=gigabytes, seconds=max(times), seconds_per_gb=0.0, grows=False
        )
    return Growth(
        gigabytes=gigabytes,
        seconds=mean + slope * (gigabytes - middle),
        seconds_per_gb=slope,
        grows=True,
    )
