"""Scales and shapes."""

from __future__ import annotations

import pytest

from lab.report import lanes, svg
from lab.report.svg import Scale


def test_a_logarithmic_scale_gives_every_decade_the_same_room():
    """Ten to a hundred is as long as a hundred to a thousand."""
    scale = Scale(low=1, high=1000, start=0, end=300, logarithmic=True)

    assert [0, 100, 200, 300] == [round(scale.at(v)) for v in (1, 10, 100, 1000)]
    assert [1, 10, 100, 1000] == scale.ticks()


def test_what_lies_outside_stands_at_the_edge():
    """No mark leaves its panel."""
    scale = Scale(low=0, high=10, start=100, end=0)

    assert (100, 0) == (scale.at(-5), scale.at(50))


@pytest.mark.parametrize(
    ("most", "top"), [(35, 40), (227, 250), (1.64, 2), (5, 5), (0.9, 1)]
)
def test_a_scale_ends_at_a_round_value(most, top):
    """The highest value has a line above it, not far away."""
    assert top == pytest.approx(svg.ceiling(most))


def test_labels_are_moved_apart():
    """No label covers another, and none leaves the panel."""
    places = svg.spread([50, 50, 52], 13, 0, 60)

    first, second, _ = sorted(places)
    assert second - first >= 13
    assert max(places) <= 60


def test_words_in_a_picture_are_escaped():
    """Text and attributes of a picture cannot become elements."""
    drawn = svg.drawing(1, 1, '"><script>', [svg.text(0, 0, "</svg><img onerror=x>")])

    assert "<script" not in drawn
    assert "<img" not in drawn
    assert "&lt;img onerror=x&gt;" in drawn


def test_a_lane_is_stretches_between_changes():
    """It begins in the first old state and ends with the load."""
    lane = {
        "changes": [
            {"at_s": 2.0, "old": "closed", "new": "open", "reason": "slow_rate"},
            {"at_s": 3.0, "old": "open", "new": "half_open", "reason": "over"},
            {"at_s": 99.0, "old": "half_open", "new": "closed", "reason": "fine"},
        ]
    }

    assert [("closed", 0, 2), ("open", 2, 3), ("half_open", 3, 12)] == [
        (one["state"], one["since"], one["until"]) for one in lanes.states(lane, 12)
    ]
