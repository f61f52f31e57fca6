"""Tables read by the types of a dataclass, whatever the dataclass."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from resilience._schema import Problems, plain, table

pytestmark = pytest.mark.resilience


class Level(enum.Enum):
    LOW = "low"
    VERY_HIGH = "very-high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tide:
    height_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wind:
    knots: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    level: Level = Level.LOW
    cause: Tide | Wind | None = None
    pair: tuple[float, int] = (1.0, 2)
    many: tuple[str, ...] = ()
    mark: Literal["a", 1] = "a"
    scores: Mapping[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    "weather",
    [
        Weather(),
        Weather(level=Level.VERY_HIGH, cause=Tide(height_m=1.5), mark=1),
        Weather(cause=Wind(), pair=(2.0, 3), many=("x", "y"), scores={"k": 1.0}),
    ],
)
def test_kinds_that_no_policy_has_yet_are_read_by_their_types(weather):
    """Enums, choices of configs, tuples and tables of numbers need no line of ours."""
    found = Problems()

    assert (weather, []) == (table(Weather, plain(weather), "w", found), found)


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"level": "high"}, "w.level: expected 'low' or 'very-high', not 'high'"),
        ({"cause": {"knots": 1}}, "w.cause.type: expected one of Tide, Wind"),
        ({"cause": {"type": "Tide"}}, "w.cause.height_m: missing"),
        ({"pair": [1.0]}, "w.pair: expected a list of float or int, not [1.0]"),
        ({"mark": True}, "w.mark: expected 'a' or 1, not True"),
        ({"scores": {"k": "x"}}, "w.scores.k: expected float, not 'x'"),
        ({"pair": [10**400, 1]}, "w.pair: expected a list of float or int"),
    ],
)
def test_such_kinds_are_refused_by_their_types(given_, told):
    """Their problems have paths like all others."""
    found = Problems()
    table(Weather, given_, "w", found)

    (problem,) = found
    assert problem.startswith(told)
