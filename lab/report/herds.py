"""Herds: the statements that a crowd brings about, crowd by crowd, run by run."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from lab.report import svg
from lab.report.frame import WIDE, Size, both
from lab.report.stored import Drawn, Run, Series
from lab.report.svg import Point, Scale


def herds(drawn: Drawn, *, first: bool) -> Markup:
    """Draw each crowd's statements: all at once, or the first of every root."""
    count = min(len(series["herds"]) for _, series in drawn)
    if not count:
        return Markup("")
    high = max(_highest(h, first=first) for _, s in drawn for h in s["herds"])
    high = svg.ceiling(max(high, 5))

    def draw(size: Size) -> Markup:
        columns = count if size is WIDE else 1
        between = 34.0
        across = (size.width - size.left - 12 - (columns - 1) * between) / columns
        parts: list[Markup] = []
        row = 0
        per_row = size.panel * 0.85 + 46
        for crowd in range(count):
            for index, (run, series) in enumerate(drawn):
                column = crowd if size is WIDE else 0
                row = index if size is WIDE else crowd * len(drawn) + index
                left = size.left + column * (across + between)
                top = row * per_row + 20
                bottom = top + size.panel * 0.85
                parts += _herd(
                    run,
                    index,
                    series["herds"][crowd],
                    Scale(low=-250, high=3000, start=left, end=left + across),
                    Scale(low=0, high=high, start=bottom, end=top),
                    first=first,
                    crowd=_named(crowd, series["herds"][crowd]),
                )
        height = (row + 1) * per_row + 14
        unit = "milliseconds since the crowd came"
        parts.append(
            svg.text(
                size.width / 2, height - 6, unit, text_anchor="middle", class_="name"
            )
        )
        what = "First statements of each root" if first else "Equal statements at once"
        return svg.drawing(size.width, height, f"{what} around each crowd", parts)

    return both(draw)


def _named(crowd: int, herd: Series) -> str:
    return f"crowd {crowd + 1} at second {herd['at_s']:g}"


def _highest(herd: Series, *, first: bool) -> float:
    values = herd["first_statements"] if first else herd["steps"]
    return max((float(value) for _, value in values), default=0.0)


def _herd(
    run: Run,
    index: int,
    herd: Series,
    x: Scale,
    y: Scale,
    *,
    first: bool,
    crowd: str,
) -> Iterable[Markup]:
    yield svg.text(x.start, y.end - 7, run.label, class_=f"panel run{index}")
    yield svg.text(x.end, y.end - 7, crowd, text_anchor="end", class_="name")
    for value in y.ticks(5)[:: 1 if y.start - y.end > 90 else 2]:
        at = y.at(value)
        yield svg.tag("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="grid")
        yield svg.text(
            x.start - 6, at + 4, f"{value:g}", text_anchor="end", class_="tick"
        )
    for value in (0, 1000, 2000, 3000):
        yield svg.text(
            x.at(value), y.start + 15, f"{value}", text_anchor="middle", class_="tick"
        )
    came = x.at(0)
    yield svg.tag("line", x1=came, x2=came, y1=y.end, y2=y.start, class_="crowd")
    if first:
        yield from _bars(herd, index, x, y)
        return
    points: list[Point] = [(x.start, y.at(0))]
    running = 0.0
    for at_ms, count in herd["steps"]:
        points += [(x.at(at_ms), y.at(running)), (x.at(at_ms), y.at(count))]
        running = count
    points.append((x.end, y.at(running)))
    yield svg.area(points, y.start, class_=f"fill run{index}")
    yield svg.path(points, class_=f"line run{index} p95")
    peak = max(herd["steps"], key=lambda step: step[1], default=None)
    if peak is not None:
        anchor = "start" if x.at(peak[0]) < (x.start + x.end) * 0.6 else "end"
        yield svg.text(
            x.at(peak[0]) + (8 if anchor == "start" else -8),
            max(y.at(peak[1]) - 5, y.end + 10),
            f"{peak[1]:g} at once",
            text_anchor=anchor,
            class_=f"label run{index} peak",
        )


def _bars(herd: Series, index: int, x: Scale, y: Scale) -> Iterable[Markup]:
    width = x.at(herd["bin_ms"]) - x.at(0)
    for at_ms, count in herd["first_statements"]:
        yield svg.tag(
            "rect",
            svg.tag("title", f"{at_ms} to {at_ms + herd['bin_ms']} ms: {count}"),
            x=x.at(at_ms),
            y=y.at(count),
            width=max(width - 1, 1.0),
            height=y.start - y.at(count),
            class_=f"bar run{index}",
        )
