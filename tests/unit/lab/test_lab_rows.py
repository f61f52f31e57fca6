"""What is done to the shop is told in its own measure."""

import pytest

from lab import rows


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (
            {"state": "in force", "links": 8, "region": "eu", "measured_ms": 412.3},
            "in force: 412 ms measured, on 8 links to eu's database",
        ),
        ({"state": "in force", "times": 2.0, "links": 0}, "in force: 2 times the load"),
        ({"state": "gone", "added": 6}, "gone: 6 links to new gateways"),
        ({"state": "in force", "added": 0}, "in force: 0 links to new gateways"),
        ({}, "off"),
    ],
)
def test_a_fault_a_peak_and_a_scaler_are_told_apart(told, says):
    """Milliseconds on links, times the load, or links that were added."""
    assert says == rows.fault(told).plain.removeprefix("fault").strip()
