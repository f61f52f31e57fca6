"""Amplification: the attempts that arrived for each call, method by method."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from lab.report import svg
from lab.report.frame import WIDE, Size, both
from lab.report.stored import Drawn, Run, Series
from lab.report.svg import Scale

MAX_METHODS = 12


def edges(drawn: Drawn) -> Markup:
    """Draw the attempts that each method's callee served per call."""
    methods = shown_methods(drawn)
    if not methods:
        return Markup("")
    known = [{m["method"]: m for m in s["edges"]["methods"]} for _, s in drawn]
    high = max(float(k[m]["ratio"]) for k in known for m in methods if m in k)
    high = svg.ceiling(max(high, 1.2))

    def draw(size: Size) -> Markup:
        wide = size is WIDE
        left = 250.0 if wide else 8.0
        x = Scale(low=0, high=high, start=left, end=size.width - (190 if wide else 96))
        bar = 13.0
        per = len(drawn) * (bar + 3) + (14 if wide else 30)
        height = len(methods) * per + 46
        parts: list[Markup] = []
        for value in x.ticks(4):
            at = x.at(value)
            parts.append(
                svg.tag(
                    "line",
                    x1=at,
                    x2=at,
                    y1=6,
                    y2=height - 40,
                    class_="one" if value == 1 else "grid",
                )
            )
            parts.append(
                svg.text(
                    at, height - 26, f"{value:g}", text_anchor="middle", class_="tick"
                )
            )
        for row, method in enumerate(methods):
            top = row * per + 10
            short = method.removeprefix("shop.v1.")
            if wide:
                middle = top + len(drawn) * (bar + 3) / 2 + 2
                parts.append(
                    svg.text(
                        left - 10, middle, short, text_anchor="end", class_="label"
                    )
                )
            else:
                parts.append(svg.text(left, top + 10, short, class_="label halo"))
                top += 16
            for index, (run, _) in enumerate(drawn):
                found = known[index].get(method)
                at = top + index * (bar + 3)
                parts += _edge(run, index, found, x, at, bar, wide=wide)
        parts.append(
            svg.text(
                (x.start + x.end) / 2,
                height - 8,
                "attempts served per call",
                text_anchor="middle",
                class_="name",
            )
        )
        title = "Attempts served per call in the fault, by method"
        return svg.drawing(size.width, height, title, parts)

    return both(draw)


def _edge(
    run: Run,
    index: int,
    found: Series | None,
    x: Scale,
    top: float,
    bar: float,
    *,
    wide: bool,
) -> Iterable[Markup]:
    if found is None:
        said = f"{run.label}: not called"
        yield svg.text(x.start + 4, top + bar - 3, said, class_="tick")
        return
    end = x.at(float(found["ratio"]))
    yield svg.tag(
        "rect",
        x=x.start,
        y=top,
        width=end - x.start,
        height=bar,
        class_=f"bar run{index}",
    )
    said = f"{run.label} {found['ratio']:.2f}"
    if wide:
        said += f"  ({found['served']} / {found['calls']} calls)"
    yield svg.text(end + 6, top + bar - 3, said, class_=f"label run{index}")


def shown_methods(drawn: Drawn) -> list[str]:
    """Choose the methods to draw: the most amplified first, then the most called."""
    worst: dict[str, tuple[float, int]] = {}
    for _, series in drawn:
        for one in series["edges"]["methods"]:
            ratio, calls = worst.get(one["method"], (0.0, 0))
            worst[one["method"]] = (
                max(ratio, float(one["ratio"])),
                max(calls, int(one["calls"])),
            )
    amplified = [name for name in worst if worst[name][0] > 1.005]
    order = sorted(worst, key=lambda name: (-worst[name][0], -worst[name][1], name))
    return order[: min(MAX_METHODS, max(len(amplified), 4))]
