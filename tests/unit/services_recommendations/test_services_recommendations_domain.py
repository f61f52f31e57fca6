"""What is recommended."""

from services.recommendations.domain import Popular, recommend

POPULAR = (
    Popular("P1", "books"),
    Popular("P2", "toys"),
    Popular("P3", "books"),
    Popular("P4", "toys"),
)


def test_without_a_hint_the_most_popular_come_first():
    """A visitor of whom nothing is known sees what sells."""
    assert recommend(POPULAR, [], 3) == ["P1", "P2", "P3"]


def test_the_kind_that_is_looked_at_comes_first():
    """Products of a seen category lead, and the seen ones are left out."""
    assert recommend(POPULAR, ["P2"], 3) == ["P4", "P1", "P3"]


def test_there_may_be_fewer_than_asked_for():
    """Nothing is invented: with everything seen there is nothing to offer."""
    assert recommend(POPULAR, ["P1", "P2", "P3", "P4"], 5) == []
    assert recommend((), [], 5) == []
