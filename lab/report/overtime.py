"""Plots over time: latency, throughput, failed and degraded answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lab.report import svg
from lab.report.frame import Size, Times, both
from lab.report.stored import Run
from lab.report.svg import Point, Scale

QUANTILES = (("p99_ms", "p99"), ("p95_ms", "p95"), ("p50_ms", "p50"))
Row = Mapping[str, Any]


def rows(run: Run) -> Sequence[Row]:
    """Give a run second by second."""
    found: Sequence[Row] = run.told.get("per_second") or ()
    return found


def failed_percent(row: Row) -> float:
    """Give the share of failures among the answers of a second."""
    ratio = row["success_ratio"]
    return 0.0 if ratio is None else 100 * (1 - float(ratio))


def degraded_percent(row: Row) -> float:
    """Give the share of degraded answers among the answers of a second."""
    return 100 * float(row["degraded_ratio"] or 0)


def latency(runs: Sequence[Run]) -> Markup:
    """Draw p50, p95 and p99 on one logarithmic scale for all runs."""
    low, high = svg.decades(
        float(row[key])
        for run in runs
        for row in rows(run)
        for key, _ in QUANTILES
        if row[key] is not None
    )

    def draw(size: Size) -> Markup:
        times = Times(runs=runs, size=size)
        return times.draw(
            "Latency over time: "
            + " above ".join(run.label for run in runs)
            + ", p50, p95 and p99, logarithmic",
            lambda top, bottom: Scale(
                low=low, high=high, start=bottom, end=top, logarithmic=True
            ),
            lambda value: f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s",
            "latency, log scale",
            lambda run, index, y: _quantiles(run, index, times.x, y),
        )

    return both(draw)


def _quantiles(run: Run, index: int, x: Scale, y: Scale) -> Iterable[Markup]:
    slo, slo_label = (run.settings.get("slo") or {}).get("p95_ms"), ""
    if slo is not None and y.low <= float(slo) <= y.high:
        at = y.at(float(slo))
        yield svg.tag("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="slo")
        slo_label = f"SLO p95 {slo:g} ms"
    ends = []
    for key, name in QUANTILES:
        points = [
            None if row[key] is None else (x.at(row["at_s"] + 0.5), y.at(row[key]))
            for row in rows(run)
        ]
        yield svg.path(points, class_=f"line run{index} {name}")
        last = next((point for point in reversed(points) if point), None)
        if last is not None:
            ends.append((name, last[1]))
    yield from _labels(ends, index, x, y)
    if slo_label:
        place = y.at(float(slo or 1)) - 4
        yield svg.text(
            x.end - 4, place, slo_label, text_anchor="end", class_="tick halo"
        )


def throughput(runs: Sequence[Run]) -> Markup:
    """Draw what was offered and what was served well, on one scale for all runs."""
    top_value = max(
        (
            float(row[key])
            for run in runs
            for row in rows(run)
            for key in ("offered_rps", "goodput_rps")
        ),
        default=1.0,
    )
    high = svg.ceiling(max(top_value, 1.0))

    def draw(size: Size) -> Markup:
        times = Times(runs=runs, size=size)
        return times.draw(
            "Throughput over time: offered and goodput, "
            + " above ".join(run.label for run in runs),
            lambda top, bottom: Scale(low=0, high=high, start=bottom, end=top),
            lambda value: f"{value:g}",
            "journeys per second",
            lambda run, index, y: _rates(run, index, times.x, y),
        )

    return both(draw)


def _rates(run: Run, index: int, x: Scale, y: Scale) -> Iterable[Markup]:
    offered = _stairs([(row["at_s"], row["offered_rps"]) for row in rows(run)], x, y)
    yield svg.area(offered, y.start, class_="offered")
    goodput = _stairs([(row["at_s"], row["goodput_rps"]) for row in rows(run)], x, y)
    yield svg.path(goodput, class_=f"line run{index} p95")
    if offered and goodput:
        ends = [("offered", offered[-1][1]), ("goodput", goodput[-1][1])]
        yield from _labels(ends, index, x, y)


def answers(runs: Sequence[Run]) -> Markup:
    """Draw failed and degraded answers as shares of those of each second."""
    most = max(
        (
            failed_percent(row) + degraded_percent(row)
            for run in runs
            for row in rows(run)
        ),
        default=0.0,
    )
    high = min(100.0, svg.ceiling(max(most, 1.0)))

    def draw(size: Size) -> Markup:
        times = Times(runs=runs, size=size)
        return times.draw(
            "Failed and degraded answers over time, "
            + " above ".join(run.label for run in runs),
            lambda top, bottom: Scale(low=0, high=high, start=bottom, end=top),
            lambda value: f"{value:g} %",
            "share of the journeys that ended",
            lambda run, _index, y: _shares(run, times.x, y),
        )

    return both(draw)


def _shares(run: Run, x: Scale, y: Scale) -> Iterable[Markup]:
    for row in rows(run):
        left, right = x.at(row["at_s"]), x.at(row["at_s"] + 1)
        below = y.at(0)
        for share, name in (
            (failed_percent(row), "failed"),
            (degraded_percent(row), "degraded"),
        ):
            height = y.start - y.at(share)
            if height <= 0:
                continue
            below -= height
            yield svg.tag(
                "rect",
                svg.tag(
                    "title",
                    f"second {row['at_s']}: {share:.1f} % of {row['journeys']} {name}",
                ),
                x=left + 0.5,
                y=below,
                width=max(right - left - 1, 0.8),
                height=height,
                class_=name,
            )


def _labels(
    ends: Sequence[tuple[str, float]], index: int, x: Scale, y: Scale
) -> Iterable[Markup]:
    low, high = sorted((y.start, y.end))
    places = svg.spread([at for _, at in ends], 13, low + 4, high)
    for (name, _), at in zip(ends, places, strict=True):
        yield svg.text(x.end + 5, at + 4, name, class_=f"label run{index} {name}")


def _stairs(values: Iterable[tuple[float, float]], x: Scale, y: Scale) -> list[Point]:
    points: list[Point] = []
    for at_s, value in values:
        points += [(x.at(at_s), y.at(value)), (x.at(at_s + 1), y.at(value))]
    return points
