"""The rows of the live picture: numbers, courses, fault, breakers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from lab import sparkline
from lab.watched import Watched

LABEL = 10
# A wider course would only repeat itself.
WIDEST = 100
HURT = "red"


def labelled(label: str) -> Text:
    """Begin a row."""
    return Text().append(f"{label:<{LABEL}}", style="dim")


def numbers(told: Mapping[str, Any]) -> Iterator[Text]:
    """Give load, success and latency of the last seconds."""

    def pair(label: str, *cells: tuple[str, str]) -> Text:
        line = labelled(label)
        for text, style in cells:
            line.append(f"{text:<18}", style=style)
        return line

    success, p95 = told.get("success_ratio"), told.get("p95_ms")
    slo = told.get("slo", {})
    good = "green" if (success or 0.0) >= slo.get("success_ratio", 0) else HURT
    late = (p95 or 0.0) > slo.get("p95_ms", math.inf)
    yield pair(
        "load",
        (f"{told.get('planned_rps', 0):.0f}/s planned", ""),
        (f"{told.get('ended_rps', 0):.0f}/s ended", ""),
        (f"{told.get('ended', 0)} in all", "dim"),
    )
    yield pair(
        "success",
        (_share(success), good if success is not None else ""),
        (f"degraded {_share(told.get('degraded_ratio'))}", ""),
    )
    yield pair(
        "latency",
        (f"p50 {_ms(told.get('p50_ms'))}", ""),
        (f"p95 {_ms(p95)}", HURT if late else ""),
        ("of the last 2 s", "dim"),
    )


def courses(
    watched: Watched, width: int, *, plain: bool, whose: str = ""
) -> Iterator[Text]:
    """Draw p50 and p95 over the run, with the fault's window marked.

    `whose` names an earlier run, which is drawn dim and without marks.
    """
    of_s = watched.of_s
    room = min(WIDEST, width - LABEL - 1)
    if of_s <= 0 or room <= 0:
        return
    # A cell a second if there is room, two if there is much.
    cells = min(room, math.ceil(of_s) * max(1, room // math.ceil(of_s)))
    since = float(watched.numbers.get("fault_at_s") or 0.0)
    until = float(watched.numbers.get("fault_until_s") or 0.0)
    ramp = sparkline.PLAIN if plain else sparkline.BLOCKS
    for figure in ("p50", "p95"):
        points = watched.points(f"{figure}_ms")
        values = sparkline.cells(points, of_s=of_s, width=cells)
        line = Text(sparkline.draw(values, ramp=ramp), style="dim" if whose else "")
        line.stylize(HURT, int(since / of_s * cells), int(until / of_s * cells))
        yield labelled(f"{whose} {figure}".lstrip()).append_text(line)
    if not whose:
        marked = sparkline.mark(
            since_s=since, until_s=until, of_s=of_s, width=cells, plain=plain
        )
        scale = f"{sparkline.LOW_MS:.0f} ms to {sparkline.HIGH_MS / 1000:.0f} s, log"
        line = labelled("").append(f"{marked:<{cells}}", style="dim")
        if room >= cells + 2 + len(scale):
            line.append(f"  {scale}", style="dim")
        yield line


def fault(told: Mapping[str, Any]) -> Text:
    """Say how the fault stands, the measured before the meant.

    What is no fault, a peak or a scaler, is told in its own measure.
    """
    line = labelled("fault")
    state = str(told.get("state", "off"))
    on = state in {"injecting", "in force", "not felt", "lingers"}
    line.append(state, style=HURT if on else "")
    said = []
    if told.get("measured_ms") is not None:
        said.append(f"{told['measured_ms']:.0f} ms measured")
    if told.get("asked_ms"):
        said.append(f"{told['asked_ms']} ms wanted")
    if told.get("times"):
        said.append(f"{told['times']:g} times the load")
    if told.get("added") is not None:
        said.append(f"{told['added']} links to new gateways")
    if told.get("links"):
        word = "on" if on else "was on"
        said.append(f"{word} {told['links']} links to {told.get('region')}'s database")
    return line.append(f": {', '.join(said)}" if said else "")


def breakers(told: Mapping[str, Any], now_s: float, *, room: int) -> Sequence[Text]:
    """List what is not closed as far as there is room, and how often each opened."""
    standing = told.get("not_closed", ())
    opened = told.get("opened", {})
    head = labelled("breakers")
    head.append(f"{len(standing)} not closed" if standing else "all closed")
    if not told.get("answers", True):
        head.append("  (old news: the trace store does not answer)", style="yellow")
    tail = labelled("opened").append(
        ", ".join(
            f"{name} {one['times']}x in {one['processes']} processes"
            for name, one in opened.items()
        )
        or "none so far"
    )
    shown = standing[: max(0, room - 2)]
    if len(shown) < len(standing):
        shown = shown[:-1]
    pad = max((len(one["process"]) for one in shown), default=0)
    lines = [head, *(_standing(one, now_s, pad) for one in shown)]
    if len(shown) < len(standing) and room > 2:
        lines.append(labelled("").append(f"and {len(standing) - len(shown)} more"))
    return [*lines, tail]


def _standing(one: Mapping[str, Any], now_s: float, pad: int) -> Text:
    # What is long and may be cut stands last.
    line = Text("  ").append(f"{one['process']:<{pad}}  ")
    state = str(one["state"]).replace("_", " ")
    line.append(f"{state:<9}", style=HURT if state == "open" else "yellow")
    lasts = max(0.0, now_s - float(one["since_s"]))
    line.append(f"{lasts:>5.0f} s {one['opened']:>3}x  {one['breaker']}")
    return line.append(f"  {str(one['reason']).replace('_', ' ')}", style="dim")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"
