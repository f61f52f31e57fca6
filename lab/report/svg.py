"""Scales, and the few shapes that plots are made of. Everything written is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float]


def tag(name: str, *inside: str | Markup, **attributes: object) -> Markup:
    """Make an element; `class_` is `class`, `stroke_width` is `stroke-width`."""
    said = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    if not inside:
        return Markup("<{}{}/>").format(Markup(name), said)  # noqa: S704 (our own names)
    within = Markup("").join(escape(one) for one in inside)
    return Markup("<{0}{1}>{2}</{0}>").format(
        Markup(name),  # noqa: S704 (our own names)
        said,
        within,
    )


def text(x: float, y: float, said: str, **attributes: object) -> Markup:
    """Write a word."""
    return tag("text", said, x=x, y=y, **attributes)


def path(points: Iterable[Point | None], **attributes: object) -> Markup:
    """Draw a line through points; None breaks it."""
    words, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        words.append(f"{pen}{_number(point[0])} {_number(point[1])}")
        pen = "L"
    return tag("path", d="".join(words), fill="none", **attributes)


def area(points: Sequence[Point], floor: float, **attributes: object) -> Markup:
    """Fill what lies between a line and the floor."""
    if not points:
        return Markup("")
    whole = [(points[0][0], floor), *points, (points[-1][0], floor)]
    words = "L".join(f"{_number(x)} {_number(y)}" for x, y in whole)
    return tag("path", d=f"M{words}Z", **attributes)


def drawing(
    width: float,
    height: float,
    title: str,
    inside: Iterable[str],
    **attributes: object,
) -> Markup:
    """Make the whole picture, which scales with the page and says what it is."""
    return tag(
        "svg",
        tag("title", title),
        *inside,
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        role="img",
        aria_label=title,
        xmlns="http://www.w3.org/2000/svg",
        **attributes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where a value stands, from `low` at `start` to `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Give the place; what lies outside stands at the edge."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / ((self.high - self.low) or 1)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 4) -> list[float]:
        """Give round values: decades on a logarithmic scale."""
        if self.logarithmic:
            first, last = math.log10(self.low), math.log10(self.high)
            return [10.0**n for n in range(math.ceil(first), math.floor(last) + 1)]
        step = nice((self.high - self.low) / about)
        first = math.ceil(self.low / step) * step
        count = int((self.high - first) / step + 1e-9)
        return [first + n * step for n in range(count + 1)]


def nice(value: float) -> float:
    """Round up to 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= value * 0.999)


def ceiling(most: float, steps: int = 5) -> float:
    """Round the top of a scale up to where its last line is."""
    step = nice(most / steps)
    return step * math.ceil(most / step - 1e-9)


def decades(values: Iterable[float]) -> tuple[float, float]:
    """Give a logarithmic scale from a power of ten to a little above the highest."""
    known = [value for value in values if value > 0] or [1.0, 10.0]
    low = 10.0 ** math.floor(math.log10(min(known)))
    return low, max(nice(max(known) * 1.3), low * 10)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart until none covers another, each as little as that takes."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for before, index in zip([None, *order], order, strict=False):
        moved[index] = max(moved[index], low)
        if before is not None:
            moved[index] = max(moved[index], moved[before] + gap)
    ceiling = high
    for index in reversed(order):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - gap
    return moved


def _value(value: object) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
