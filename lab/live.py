"""Lets a person watch an experiment: a live picture, or one line a phase when piped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live

from lab.console import is_interactive, progress
from lab.frame import Frame
from lab.rows import courses
from lab.watched import Turn, Watched

REFRESHES_PER_SECOND = 2

Follow = Callable[[Mapping[str, Any]], None]


class View:
    """Shows the runs of one command, each beside the course of the one before."""

    def __init__(
        self, console: Console, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.console = console
        self._clock = clock
        self._turn: Turn | None = None
        self._watched = Watched()
        self._earlier: tuple[Turn, Watched] | None = None

    @contextmanager
    def watch(self, turn: Turn) -> Iterator[Follow]:
        """Show one run; the one who plays it calls what is given with every line.

        The terminal is the user's again when this ends, however it ends.
        """
        if not is_interactive(self.console):
            with _lines(self.console, turn) as follow:
                yield follow
            return
        self._turn, self._watched = turn, Watched()
        # A screen of its own: a terminal that is made narrower folds what was drawn
        # before, and no one can tell then how many lines to take back.
        with Live(
            get_renderable=self.frame,
            console=self.console,
            screen=True,
            refresh_per_second=REFRESHES_PER_SECOND,
        ) as screen:
            screen.refresh()
            yield self._hear
        self._leave(turn)
        self._earlier = (turn, self._watched)

    def frame(self) -> Frame:
        """Draw the run of this moment."""
        assert self._turn is not None
        return Frame(
            turn=self._turn,
            watched=self._watched,
            now_s=self._clock(),
            earlier=self._earlier,
        )

    def _hear(self, line: Mapping[str, Any]) -> None:
        self._watched = self._watched.heard(line)

    def _leave(self, turn: Turn) -> None:
        """Leave the course and the verdict in the user's own scrollback.

        Of several seeds the verdict is told by who plays them, piped or not.
        """
        watched = self._watched
        if watched.phase == "verdict" and turn.seeds == 1:
            self.console.print(f"{turn.title}: {watched.text}", markup=False)
        plain = not self.console.encoding.startswith("utf")
        for line in courses(watched, self.console.width, plain=plain):
            line.no_wrap = True
            self.console.print(line)


@contextmanager
def _lines(console: Console, turn: Turn) -> Iterator[Follow]:
    with progress(console, turn.title) as show:

        def follow(line: Mapping[str, Any]) -> None:
            text = f"{line['phase']} {line['text']}"
            if line.get("success_ratio") is not None:
                text += f"  success {line['success_ratio']:.1%}"
            if line.get("p95_ms") is not None:
                text += f"  p95 {line['p95_ms']:.0f} ms"
            show(text, line["at_s"] / line["of_s"] if line.get("of_s") else 0.0)

        yield follow
