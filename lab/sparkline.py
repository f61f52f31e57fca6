"""One line of text that shows a course: a cell a moment, higher where it was slower."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-~=+*#"
# The same for every run, so that two runs compare, and half a decade a step: from less
# than a cached page takes to the deadline of a checkout.
LOW_MS = 1.0
HIGH_MS = 10_000.0


def cells(
    points: Iterable[tuple[float, float | None]], *, of_s: float, width: int
) -> list[float | None]:
    """Spread points over a line that stands for the whole run.

    A cell takes the worst of its points; None where there was none.
    """
    found: list[float | None] = [None] * max(0, width)
    for at_s, value in points:
        if value is None or not 0 <= at_s < of_s or width <= 0:
            continue
        index = int(at_s / of_s * width)
        before = found[index]
        # With fewer points than cells, each fills as many as it lasts.
        for cell in range(index, max(index + 1, int((at_s + 1) / of_s * width))):
            if cell < width:
                found[cell] = value if before is None else max(before, value)
    return found


def draw(
    values: Sequence[float | None],
    *,
    low: float = LOW_MS,
    high: float = HIGH_MS,
    ramp: str = BLOCKS,
) -> str:
    """Draw values on a logarithmic scale; what lies outside it is at its end."""
    return "".join(
        " " if v is None else ramp[_level(v, low, high, ramp)] for v in values
    )


def _level(value: float, low: float, high: float, ramp: str) -> int:
    if value <= low:
        return 0
    share = math.log(value / low) / math.log(high / low)
    return min(len(ramp) - 1, int(share * len(ramp)))


def mark(
    *, since_s: float, until_s: float, of_s: float, width: int, plain: bool = False
) -> str:
    """Draw a line that marks the fault's stretch of the run below its cells."""
    if of_s <= 0 or width <= 0 or until_s <= since_s:
        return ""
    begin = min(width - 1, int(since_s / of_s * width))
    length = max(1, min(width, round(until_s / of_s * width)) - begin)
    left, middle, right = "^-^" if plain else "└─┘"
    if length == 1:
        return " " * begin + ("^" if plain else "│")
    label = " fault " if length >= 11 else ""
    return " " * begin + left + f"{label:{middle}^{length - 2}}" + right
