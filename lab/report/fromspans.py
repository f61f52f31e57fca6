"""Plots of what the spans say: herds, amplification, breakers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lab.report import svg
from lab.report.frame import FOOT, HEAD, WIDE, Size, Times, both
from lab.report.stored import Run
from lab.report.svg import Point, Scale

Series = Mapping[str, Any]
Drawn = Sequence[tuple[Run, Series]]
MAX_METHODS = 12
STATES = ("closed", "open", "half_open")


def herds(drawn: Drawn, *, first: bool) -> Markup:
    """Draw each crowd's statements: all at once, or the first of every root."""
    count = min(len(series["herds"]) for _, series in drawn)
    if not count:
        return Markup("")
    high = max(_highest(h, first=first) for _, s in drawn for h in s["herds"])
    high = 3 * svg.nice(max(high, 3) / 3)

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
    for value in y.ticks(3):
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
            max(y.at(peak[1]) + 4, y.end + 10),
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


def edges(drawn: Drawn) -> Markup:
    """Draw the attempts that each method's callee served per call."""
    methods = shown_methods(drawn)
    if not methods:
        return Markup("")
    known = [{m["method"]: m for m in s["edges"]["methods"]} for _, s in drawn]
    high = max(float(k[m]["ratio"]) for k in known for m in methods if m in k)
    high = 4 * svg.nice(max(high, 1.2) / 4)

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
                parts.append(svg.text(left, top + 10, short, class_="label"))
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


def breakers(drawn: Drawn) -> Markup:
    """Draw a lane for every process and breaker that ever changed."""
    lanes = [
        (index, run, lane)
        for index, (run, series) in enumerate(drawn)
        for lane in series["breakers"]["lanes"]
    ]
    if not lanes:
        return Markup("")

    def draw(size: Size) -> Markup:
        times = Times(runs=[run for run, _ in drawn], size=size)
        wide = size is WIDE
        left = 210.0 if wide else 8.0
        x = Scale(
            low=0, high=times.x.high, start=left, end=size.width - (20 if wide else 8)
        )
        lane_height = 22.0
        per = lane_height + (10 if wide else 24)
        bottom = HEAD + len(lanes) * per
        run = drawn[0][0]
        parts = [
            svg.tag(
                "rect",
                x=x.at(run.moment("in_force_s")),
                y=HEAD - 6,
                width=x.at(run.moment("removing_s")) - x.at(run.moment("in_force_s")),
                height=bottom - HEAD + 6,
                class_="fault",
            ),
            svg.text(
                (x.at(run.moment("in_force_s")) + x.at(run.moment("removing_s"))) / 2,
                12,
                "fault",
                text_anchor="middle",
                class_="phase strong",
            ),
        ]
        for row, (index, run, lane) in enumerate(lanes):
            top = HEAD + row * per
            said = f"{run.label}  {lane['instance']} → {lane['breaker']}"
            if wide:
                parts.append(
                    svg.text(
                        left - 10,
                        top + 9,
                        lane["instance"],
                        text_anchor="end",
                        class_=f"label run{index}",
                    )
                )
                under = f"{run.label} → {lane['breaker']}"
                parts.append(
                    svg.text(
                        left - 10, top + 22, under, text_anchor="end", class_="tick"
                    )
                )
            else:
                parts.append(svg.text(left, top + 9, said, class_=f"label run{index}"))
                top += 14
            parts += _lane(run, lane, x, top, lane_height)
        parts += _seconds(x, bottom)
        return svg.drawing(
            size.width, bottom + FOOT, "States of the breakers over time", parts
        )

    return both(draw)


def states(lane: Series, end_s: float) -> list[dict[str, Any]]:
    """Turn a lane's changes into the stretches between them."""
    found, since = [], 0.0
    changes = lane["changes"]
    state = changes[0]["old"] if changes else "closed"
    reason = "it began so"
    for change in [*changes, None]:
        until = end_s if change is None else min(float(change["at_s"]), end_s)
        if until > since:
            found.append(
                {"state": state, "since": since, "until": until, "reason": reason}
            )
        if change is not None:
            since, state, reason = until, change["new"], change["reason"]
    return found


def _lane(
    run: Run, lane: Series, x: Scale, top: float, high: float
) -> Iterable[Markup]:
    for one in states(lane, x.high):
        word = str(one["state"]).replace("_", "-")
        shape = {"open": (0.0, high), "half_open": (high / 4, high / 2)}
        down, height = shape.get(one["state"], (high / 2 - 1.5, 3.0))
        left, right = x.at(one["since"]), x.at(one["until"])
        said = (
            f"{run.label} {lane['instance']}, {lane['breaker']}: {word} from "
            f"{one['since']:.2f} to {one['until']:.2f} s ({one['reason']})"
        )
        yield svg.tag(
            "rect",
            svg.tag("title", said),
            x=left,
            y=top + down,
            width=max(right - left - 0.6, 0.8),
            height=height,
            class_=f"state {word}",
            data_say=said,
        )
        if right - left > 46:
            yield svg.text(
                (left + right) / 2,
                top + (high / 2 - 5 if word == "closed" else high / 2 + 4),
                word,
                text_anchor="middle",
                class_=f"state-name {word}",
            )


def _seconds(x: Scale, bottom: float) -> Iterable[Markup]:
    for at_s in x.ticks(5):
        at = x.at(at_s)
        yield svg.tag("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis")
        yield svg.text(
            at, bottom + 16, f"{at_s:g}", text_anchor="middle", class_="tick"
        )
    yield svg.text(
        (x.start + x.end) / 2,
        bottom + 31,
        "seconds since the load began",
        text_anchor="middle",
        class_="name",
    )
