"""What a person sees: progress on a terminal, plain lines when piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

# Piped output is for programs and pagers: no folding at 80 columns.
PIPED_WIDTH = 160

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add `--json PATH`: the result as one object; `-` is standard output, alone."""
    return click.option(
        "--json",
        "json_path",
        metavar="PATH",
        help="Write the result as one JSON object; - for standard output.",
    )(command)


def console_for(json_path: str | None) -> Console:
    """Print to standard output, or standard error when JSON takes its place."""
    console = Console(stderr=json_path == "-", highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


@contextmanager
def expected_errors() -> Iterator[None]:
    """Turn what can be expected to go wrong into a message and exit code 2."""
    try:
        yield
    except Exception as error:
        # They are of every room, and most commands use few of those.
        from lab.expected import EXPECTED  # noqa: PLC0415

        if isinstance(error, EXPECTED):
            raise click.ClickException(str(error)) from error
        raise


def is_interactive(console: Console) -> bool:
    """Whether what was printed can be painted over: a terminal, and no dumb one."""
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def progress(console: Console, title: str) -> Iterator[Callable[[str, float], None]]:
    """Show a bar on a terminal, one line a step elsewhere and on a dumb one."""
    if not is_interactive(console):
        last = ""

        def line(message: str, _done: float) -> None:
            nonlocal last
            step = message.split(" ", 1)[0]
            if step != last:
                console.print(f"{title}: {message}")
            last = step

        yield line
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda message, done: bar.update(
            task, description=f"{title}: {message}", completed=done
        )
