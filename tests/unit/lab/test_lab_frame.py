"""The live picture: all that is asked of it, at any size, and nothing that breaks."""

import io

import pytest

from lab.frame import Frame
from lab.watched import Turn, Watched

START_S = 5000.0
FAULT = {
    "time_s": START_S + 21,
    "phase": "inject",
    "text": "the fault is in force",
    "fault": {
        "state": "in force",
        "region": "eu",
        "asked_ms": 400,
        "links": 8,
        "measured_ms": 381.4,
    },
}


@pytest.fixture
def picture(turn, terminal):
    def drawn(watched, *, width=80, height=24, now_s=START_S + 28, **given):
        console = terminal(width, height, **given.pop("console", {}))
        with console.capture() as capture:
            console.print(Frame(turn=turn, watched=watched, now_s=now_s, **given))
        return capture.get()

    return drawn


@pytest.fixture
def plain(picture):
    """The picture without its colours, as lines."""

    def drawn(watched, **given):
        given["console"] = {"color_system": None, **given.get("console", {})}
        return picture(watched, **given).splitlines()

    return drawn


def test_everything_that_is_known_is_shown(heard, plain, made):
    """Turn, clock, load, success, latency, course, fault, breakers."""
    told = plain(heard(FAULT, made.beat(28.0, standing=[made.standing()])))
    text = "\n".join(told)

    assert "slow-database  cured 2/2  seed 7" == told[0].rstrip()
    assert "28 s, 22 s left" in told[1]
    for said in (
        "50/s planned",
        "48/s ended",
        "86.1 %",
        "degraded 12.0 %",
        "p50 17 ms",
        "p95 80 ms",
        "in force: 381 ms measured, 400 ms wanted, on 8 links to eu's database",
        "1 not closed",
        "database@eu 3x in 2 processes",
    ):
        assert said in text
    (row,) = [line for line in told if "catalog-eu-a" in line]
    assert ["open", "7", "s", "2x", "database@eu", "slow", "rate"] == row.split()[1:]


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 200])
@pytest.mark.parametrize("height", [5, 12, 24, 50])
def test_it_fits_the_terminal(heard, plain, turn, width, height, made):
    """No line is wider and no picture higher, with more breakers than there is room."""
    many = [made.standing(f"a-service-with-a-long-name-{n}") for n in range(60)]
    watched = heard(FAULT, *(made.beat(float(n), standing=many) for n in range(1, 29)))
    told = plain(watched, width=width, height=height, earlier=(turn, watched))

    assert len(told) <= height
    assert max(map(len, told)) <= width


def test_what_has_no_room_is_counted(heard, plain, made):
    """Breakers that are not shown are not forgotten, and the sum stays in sight."""
    many = [made.standing(f"process-{n}") for n in range(60)]
    told = plain(heard(made.beat(28.0, standing=many)))
    shown = sum("process-" in line for line in told)

    assert 24 == len(told)
    assert f"and {60 - shown} more" in told[-2]
    assert told[-1].startswith("opened")


def test_the_clock_runs_between_the_lines(heard, plain, made):
    """Elapsed time is the clock's, up to the planned end."""
    watched = heard(made.beat(28.0))

    assert "31 s, 19 s left" in plain(watched, now_s=START_S + 31)[1]
    assert "the load has ended" in plain(watched, now_s=START_S + 99)[1]


def test_before_the_first_line_there_is_a_picture(plain):
    """The view opens before the run has said anything."""
    told = plain(Watched())

    assert "the load is about to begin" in told[1]
    assert any("all closed" in line for line in told)


def test_an_earlier_run_stands_below_to_compare(heard, plain, made):
    """Sick under cured, on the same scale."""
    sick = Turn(experiment="slow-database", profile="sick", seed=7, of=2)
    earlier = (sick, heard(made.beat(1.0, p95=9000.0)))
    told = plain(heard(made.beat(1.0, p95=80.0)), earlier=earlier)

    assert "▄" == next(line[10] for line in told if line.startswith("p95 "))
    assert "█" == next(line[10] for line in told if line.startswith("sick p95"))


def test_old_news_is_called_old(heard, plain, made):
    """A trace store that is silent does not look like closed breakers."""
    line = made.beat(28.0)
    line["breakers"] = {**line["breakers"], "answers": False}

    assert any("does not answer" in row for row in plain(heard(line)))


def test_a_failing_run_is_red_and_without_colour_it_is_not(heard, picture, made):
    """NO_COLOR takes the colours and leaves the words."""
    watched = heard(made.beat(28.0))
    told = picture(watched, console={"environ": {"NO_COLOR": "1"}})

    assert "\x1b[31m86.1 %" in picture(watched)
    assert "86.1 %" in told
    assert "\x1b[31m" not in told


def test_an_ascii_terminal_can_write_all_of_it(heard, turn, terminal, made):
    """No block, line or ellipsis that its encoding does not have."""
    watched = heard(FAULT, made.beat(28.0, standing=[made.standing()]))
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    terminal(60, 24, file=file).print(
        Frame(turn=turn, watched=watched, now_s=START_S + 28, earlier=(turn, watched))
    )
    file.flush()

    assert b"fault" in file.buffer.getvalue()


def test_a_run_that_halts_says_why(heard, plain, made):
    """The reason takes the place of the clock."""
    why = "halted: 1% of all journeys succeeded in 10 s"
    line = {"time_s": START_S + 29, "phase": "halt", "text": why}

    assert why in plain(heard(made.beat(28.0), line))[1]
