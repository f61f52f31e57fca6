"""A platform that only looks cured is red: answers are held against the spans."""

from __future__ import annotations

import pytest

from tests.sceptic.liar import in_front


@pytest.mark.parametrize(
    ("lie", "found_out_by"),
    [
        # Orders that no intake holds: neither a span nor a row supports the answer.
        ("claim", {"orders_taken_elsewhere", "no_acknowledged_order_lost"}),
        ("old", {"slo_success_affected"}),
        # Fast refusals make a fine p95.
        ("refuse", {"slo_success_affected"}),
    ],
)
def test_a_lie_is_found_out(play, red, lie, found_out_by):
    """The run is valid, and red for what the lie hides."""
    result = play(beside=lambda lab, run_dir: in_front(lab, lie))

    assert result.invalid_reasons == ()
    assert result.verdict == "fail"
    assert found_out_by <= red(result)
