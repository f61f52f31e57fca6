"""Breakers in time: a lane for every process and breaker that ever changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from lab.report import svg
from lab.report.frame import FOOT, HEAD, WIDE, Size, Times, both
from lab.report.stored import Drawn, Run, Series
from lab.report.svg import Scale


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
            parts += _lane(run, lane, x, top, lane_height, above=-5 if wide else 14)
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
    run: Run, lane: Series, x: Scale, top: float, high: float, *, above: float
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
                top + high / 2 + {"closed": above}.get(word, 4.0),
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
