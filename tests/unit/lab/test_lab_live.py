"""Watching a run: a picture on a terminal, plain lines elsewhere, and nothing left."""

import io

import pytest
from rich.console import Console

from lab.console import PIPED_WIDTH
from lab.live import View

ALT_SCREEN_ON, ALT_SCREEN_OFF = "\x1b[?1049h", "\x1b[?1049l"
CURSOR_ON, CURSOR_OFF = "\x1b[?25h", "\x1b[?25l"
ENDED = {"time_s": 5052.0, "phase": "verdict", "text": "fail: slo_p95_affected"}


@pytest.fixture
def lines(made):
    opened = {"time_s": 4997.0, "phase": "open", "text": "run in a/folder"}
    beats = [made.beat(float(n), phase="exercise") for n in range(1, 9)]
    return [opened, *beats, made.beat(28.0), ENDED]


def watch(console, turn, lines):
    with View(console, clock=lambda: 5030.0).watch(turn) as follow:
        for line in lines:
            follow(line)
    return console.file.getvalue()


@pytest.fixture
def piped():
    return Console(file=io.StringIO(), width=PIPED_WIDTH, highlight=False)


def test_piped_output_is_one_plain_line_a_phase(piped, turn, lines):
    """No control characters, whatever the environment's terminal."""
    told = watch(piped, turn, lines)

    assert [
        "cured: open run in a/folder",
        "cured: exercise in force  success 86.1%  p95 80 ms",
        "cured: fault in force  success 86.1%  p95 80 ms",
        "cured: verdict fail: slo_p95_affected",
    ] == told.splitlines()
    assert "\x1b" not in told
    assert "\r" not in told


def test_a_dumb_terminal_gets_plain_lines(terminal, turn, lines):
    """TERM=dumb cannot be painted over."""
    told = watch(terminal(term="dumb"), turn, lines)

    assert 4 == len(told.splitlines())
    assert "\x1b" not in told


def test_a_terminal_gets_its_screen_back_and_a_last_line(terminal, turn, lines):
    """What stays in the scrollback is the verdict and the course."""
    told = watch(terminal(), turn, lines)
    shown, _, left = told.partition(ALT_SCREEN_OFF)

    assert 1 == shown.count(ALT_SCREEN_ON)
    assert shown.rindex(CURSOR_ON) > shown.index(CURSOR_OFF)
    assert "slow-database" in shown
    assert "cured: fail: slo_p95_affected" in left
    assert "▄" in left


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_view_gives_the_terminal_back(terminal, turn, lines, error):
    """Ctrl-C or a crash: cursor and screen are as they were, the error goes on."""
    console = terminal()

    def played():
        with View(console).watch(turn) as follow:
            follow(lines[0])
            raise error

    with pytest.raises(error):
        played()

    told = console.file.getvalue()
    assert told.count(ALT_SCREEN_ON) == told.count(ALT_SCREEN_OFF) == 1
    assert told.rindex(CURSOR_ON) > told.index(CURSOR_OFF)


def test_the_second_run_is_shown_beside_the_first(terminal, turn, lines):
    """Sick stays in sight while cured runs."""
    view = View(terminal(), clock=lambda: 5030.0)
    for _ in range(2):
        with view.watch(turn) as follow:
            for line in lines:
                follow(line)
    frame = view.frame()

    assert frame.earlier is not None
    assert frame.earlier[0] == turn


def test_lines_of_an_older_experiment_are_understood(terminal, turn):
    """A line with none of the newer numbers is drawn without them."""
    bare = {"phase": "fault", "text": "in force", "time_s": 1.0}
    console = terminal()
    view = View(console)
    with view.watch(turn) as follow:
        for line in (bare, {**bare, "at_s": 1.0}):
            follow(line)
    with console.capture() as drawn:
        console.print(view.frame())

    assert "cured" in drawn.get()


def test_the_last_second_comes_after_the_load(heard, made):
    """Seconds are taken from a line that has nothing else of a beat."""
    last = {"at_s": 8, "p95_ms": 70.0}
    line = {"time_s": 5051.0, "phase": "after", "text": "ended", "seconds": [last]}
    watched = heard(made.beat(8.0), line)

    assert [(7.0, 80.0), (8.0, 70.0)] == watched.points("p95_ms")
    assert 8.0 == watched.numbers["at_s"]
