"""One picture of an experiment that runs, for a terminal of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, OverflowMethod, RenderResult
from rich.text import Text

from lab import rows
from lab.watched import Turn, Watched

BAR = 30
# In a lower terminal the breakers need the lines of the earlier run.
ROOM_FOR_EARLIER = 20


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
        lines += rows.breakers(self.watched.breakers, self.now_s, room=room)
        overflow: OverflowMethod = "crop" if options.ascii_only else "ellipsis"
        for line in lines[:height]:
            line.no_wrap, line.overflow = True, overflow
            line.rstrip()
            line.truncate(options.max_width, overflow=overflow)
            yield line

    def _above(self, width: int, height: int, *, plain: bool) -> Iterator[Text]:
        yield self._head()
        yield self._clock(width, plain=plain)
        yield Text()
        yield from rows.numbers(self.watched.numbers)
        yield Text()
        yield from rows.courses(self.watched, width, plain=plain)
        if self.earlier is not None and height >= ROOM_FOR_EARLIER:
            turn, watched = self.earlier
            same = turn.profile == self.turn.profile
            whose = f"#{turn.seed}" if same else turn.profile
            yield from rows.courses(watched, width, plain=plain, whose=whose)
        yield Text()
        yield rows.fault(self.watched.fault)

    def _head(self) -> Text:
        turn = self.turn
        head = Text()
        head.append(f"{turn.experiment}  ", style="bold")
        head.append(f"{turn.profile} {turn.place}/{turn.of}", style="bold cyan")
        head.append(f"  seed {turn.seed}")
        return head

    def _clock(self, width: int, *, plain: bool) -> Text:
        watched = self.watched
        line = rows.labelled(watched.phase or "starting")
        if watched.phase in {"", "open"}:
            return line.append("the load is about to begin")
        if watched.phase == "halt":
            return line.append(watched.text, style=rows.HURT)
        gone = watched.elapsed_s(self.now_s)
        left = watched.of_s - gone
        if left <= 0:
            return line.append(f"the load has ended; {watched.text}")
        bar = max(5, min(BAR, width - rows.LABEL - 26))
        done = int(bar * gone / watched.of_s) if watched.of_s else 0
        full, rest = ("#", "-") if plain else ("━", "─")
        line.append(full * done, style="green").append(rest * (bar - done), style="dim")
        return line.append(f"  {gone:.0f} s, {left:.0f} s left")
