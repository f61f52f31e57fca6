"""One picture of an experiment that runs, for a terminal of any size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from lab import sparkline
from lab.watched import Turn, Watched

LABEL = 10
BAR = 30
# In a lower terminal the breakers need the lines of the earlier run.
ROOM_FOR_EARLIER = 20
# A wider course would only repeat itself.
WIDEST = 100
GOOD_SUCCESS = 0.995
SLO_P95_MS = 750.0
HURT = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Draws a run at a moment; with an earlier run's course below, to compare."""

    turn: Turn
    watched: Watched
    now_s: float
    earlier: tuple[Turn, Watched] | None = None

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Give as many lines as there is room for, none wider than the terminal."""
        height = options.height or console.height
        lines = list(self._above(options.max_width, height, plain=options.ascii_only))
        room = height - len(lines)
        lines += _breakers(self.watched.breakers, self.now_s, room=room)
        for line in lines[:height]:
            line.no_wrap = True
            line.truncate(options.max_width, overflow="ellipsis")
            yield line

    def _above(self, width: int, height: int, *, plain: bool) -> Iterator[Text]:
        yield self._head()
        yield self._clock(width, plain=plain)
        yield Text()
        yield from _numbers(self.watched.numbers)
        yield Text()
        yield from courses(self.watched, width, plain=plain)
        if self.earlier is not None and height >= ROOM_FOR_EARLIER:
            turn, watched = self.earlier
            same = turn.profile == self.turn.profile
            whose = f"#{turn.seed}" if same else turn.profile
            yield from courses(watched, width, plain=plain, whose=whose)
        yield Text()
        yield _fault(self.watched.fault)

    def _head(self) -> Text:
        turn = self.turn
        head = Text()
        head.append(f"{turn.experiment}  ", style="bold")
        head.append(f"{turn.profile} {turn.place}/{turn.of}", style="bold cyan")
        head.append(f"  seed {turn.seed}")
        return head

    def _clock(self, width: int, *, plain: bool) -> Text:
        watched = self.watched
        line = _labelled(watched.phase or "starting")
        if watched.phase in {"", "open"}:
            return line.append("the load is about to begin")
        gone = watched.elapsed_s(self.now_s)
        left = watched.of_s - gone
        if left <= 0:
            return line.append(f"the load has ended; {watched.text}")
        bar = max(5, min(BAR, width - LABEL - 26))
        done = int(bar * gone / watched.of_s) if watched.of_s else 0
        full, rest = ("#", "-") if plain else ("━", "─")
        line.append(full * done, style="green").append(rest * (bar - done), style="dim")
        return line.append(f"  {gone:.0f} s, {left:.0f} s left")


def _labelled(label: str) -> Text:
    return Text().append(f"{label:<{LABEL}}", style="dim")


def _numbers(numbers: Mapping[str, Any]) -> Iterator[Text]:
    def pair(label: str, *cells: tuple[str, str]) -> Text:
        line = _labelled(label)
        for text, style in cells:
            line.append(f"{text:<18}", style=style)
        return line

    success = numbers.get("success_ratio")
    p95 = numbers.get("p95_ms")
    yield pair(
        "load",
        (f"{numbers.get('planned_rps', 0):.0f}/s planned", ""),
        (f"{numbers.get('ended_rps', 0):.0f}/s ended", ""),
        (f"{numbers.get('ended', 0)} in all", "dim"),
    )
    yield pair(
        "success",
        (_share(success), HURT if (success or 0.0) < GOOD_SUCCESS else "green"),
        (f"degraded {_share(numbers.get('degraded_ratio'))}", ""),
    )
    yield pair(
        "latency",
        (f"p50 {_ms(numbers.get('p50_ms'))}", ""),
        (f"p95 {_ms(p95)}", HURT if p95 and p95 > SLO_P95_MS else ""),
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
        yield _labelled(f"{whose} {figure}".lstrip()).append_text(line)
    if not whose:
        marked = sparkline.mark(
            since_s=since, until_s=until, of_s=of_s, width=cells, plain=plain
        )
        scale = f"{sparkline.LOW_MS:.0f} ms to {sparkline.HIGH_MS / 1000:.0f} s, log"
        line = _labelled("").append(f"{marked:<{cells}}", style="dim")
        if room >= cells + 2 + len(scale):
            line.append(f"  {scale}", style="dim")
        yield line


def _fault(fault: Mapping[str, Any]) -> Text:
    line = _labelled("fault")
    state = str(fault.get("state", "off"))
    on = state in {"injecting", "in force", "not felt", "lingers"}
    line.append(state, style=HURT if on else "")
    if fault.get("asked_ms"):
        line.append(f": {fault['asked_ms']} ms before {fault.get('region')}'s database")
    if fault.get("measured_ms") is not None:
        line.append(f", measured {fault['measured_ms']:.0f} ms")
    if fault.get("links"):
        word = "on" if on else "was on"
        line.append(f", {word} {fault['links']} links")
    return line


def _breakers(
    breakers: Mapping[str, Any], now_s: float, *, room: int
) -> Sequence[Text]:
    """List what is not closed as far as there is room, and how often each opened."""
    standing = breakers.get("not_closed", ())
    opened = breakers.get("opened", {})
    head = _labelled("breakers")
    head.append(f"{len(standing)} not closed" if standing else "all closed")
    if not breakers.get("answers", True):
        head.append("  (old news: the trace store does not answer)", style="yellow")
    tail = _labelled("opened").append(
        ", ".join(
            f"{name} {one['times']}x in {one['processes']} processes"
            for name, one in opened.items()
        )
        or "none so far"
    )
    shown = standing[: max(0, room - 2)]
    if len(shown) < len(standing):
        shown = shown[:-1]
    lines = [head, *(_standing(one, now_s) for one in shown)]
    if len(shown) < len(standing) and room > 2:
        lines.append(_labelled("").append(f"and {len(standing) - len(shown)} more"))
    return [*lines, tail]


def _standing(one: Mapping[str, Any], now_s: float) -> Text:
    line = Text("  ")
    line.append(f"{one['process']:<20} {one['breaker']:<24} ")
    state = str(one["state"]).replace("_", " ")
    line.append(f"{state:<10}", style=HURT if state == "open" else "yellow")
    lasts = max(0.0, now_s - float(one["since_s"]))
    line.append(f"{lasts:>4.0f} s {one['opened']:>3}x  ")
    return line.append(str(one["reason"]).replace("_", " "))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"
