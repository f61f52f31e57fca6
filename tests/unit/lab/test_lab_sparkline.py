"""A course of latency in one line of text, whatever the data are."""

import pytest

from lab import sparkline


def drawn(points, *, of_s=10, width=10, **given):
    return sparkline.draw(sparkline.cells(points, of_s=of_s, width=width), **given)


def test_no_data_is_an_empty_line():
    """As wide as the run, and blank."""
    assert " " * 10 == drawn([])


def test_one_value_stands_where_it_was():
    """The rest of the run is still to come."""
    assert "   ▅      " == drawn([(3, 150.0)])


def test_equal_values_are_a_level_line():
    """The scale is fixed, so nothing is blown up."""
    assert "▅" * 10 == drawn([(second, 150.0) for second in range(10)])


def test_a_second_without_a_value_is_a_gap():
    """Silence is not drawn as fast."""
    assert "▅ ▅" == drawn([(0, 150.0), (1, None), (2, 150.0)], of_s=3, width=3)


@pytest.mark.parametrize(
    ("value", "block"),
    [
        *((low, "▁") for low in (-1.0, 0.0, 1.0, 3.1)),
        *((3.2, "▂"), (10.1, "▃"), (100.1, "▅"), (1001.0, "▇")),
        *((high, "█") for high in (9999.0, 10_000.0, 1e9)),
    ],
)
def test_half_a_decade_is_one_step(value, block):
    """And what lies outside the scale is at its end."""
    assert block == drawn([(0, value)], of_s=1, width=1)


def test_a_cell_for_many_seconds_shows_the_worst():
    """A peak is never averaged away."""
    points = [(second, 2000.0 if second == 7 else 5.0) for second in range(100)]

    assert "▇▂▂▂▂▂▂▂▂▂" == drawn(points, of_s=100)


def test_many_cells_for_one_second_are_filled():
    """A wide terminal has no holes."""
    assert "▅▅▅▅" == drawn([(0, 150.0), (1, 150.0)], of_s=2, width=4)


def test_a_plain_terminal_has_a_plain_ramp():
    """ASCII where nothing else can be shown."""
    assert drawn([(n, 10.0**n) for n in range(5)], ramp=sparkline.PLAIN).isascii()


@pytest.mark.parametrize("width", [0, -3])
def test_no_room_is_no_line(width):
    """A terminal narrower than the labels breaks nothing."""
    assert "" == drawn([(0, 1.0)], width=width)
    assert "" == sparkline.mark(since_s=1, until_s=2, of_s=3, width=width)


def test_the_fault_is_marked_below_its_cells():
    """The mark begins and ends where the fault does."""
    marked = sparkline.mark(since_s=20, until_s=40, of_s=50, width=50)

    assert (20, 40) == (marked.index("└"), len(marked))
    assert "fault" in marked


def test_a_short_fault_is_marked_without_a_word():
    """Down to a single cell."""
    assert "  └──┘" == sparkline.mark(since_s=2, until_s=6, of_s=10, width=10)
    assert "  │" == sparkline.mark(since_s=2, until_s=2.4, of_s=10, width=10)
