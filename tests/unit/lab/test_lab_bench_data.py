"""The data benchmark's arithmetic and its verdict."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from lab.bench import data
from lab.commands.bench_data import data as command


def figure(name: str, share: float) -> data.Figure:
    return data.Figure(
        name=name, beside="plain", median_us=1.0, added_us=0.0, share=share, turns=3
    )


def test_a_share_is_the_median_of_the_turns() -> None:
    """One turn that the machine spoiled does not count."""
    one = data.compare("ours", "plain", [1.1, 2.2, 90.0], [1.0, 2.0, 3.0])

    assert pytest.approx(0.1) == one.share
    assert (3, "ours") == (one.turns, one.document()["name"])


@pytest.mark.parametrize(
    ("share", "doubts", "options", "code"),
    [
        (0.04, [], [], 0),
        (0.06, [], [], 1),
        (0.04, ["twice differs"], [], 3),
        (0.06, ["twice differs"], ["--no-verdict"], 0),
    ],
)
def test_the_exit_code_says_what_was_found(
    monkeypatch, share, doubts, options, code
) -> None:
    """Kept to the budget, above it, or nothing proven."""
    found = [figure("Database.transaction", share), figure("Router.choose", 0.001)]
    monkeypatch.setattr(data, "measure", lambda turns: (found, doubts))
    done = CliRunner().invoke(command, ["--quick", *options], standalone_mode=False)

    assert code == done.return_value
