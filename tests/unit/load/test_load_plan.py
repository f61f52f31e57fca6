"""A plan that cannot be played is refused before anything starts."""

import pytest

from load.plan import Plan, PlanError


def test_a_full_plan_is_read(plan):
    """What the file says is what is played."""
    assert sum(journey.rate for journey in plan.journeys) == 50
    assert plan.catalogue.customer("eu", 7) == "eu-00000000-0000-4000-8000-000000000007"
    assert plan.catalogue.product(12) == "P0012"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"storefronts": {"us": ["x:1"]}}, "no storefront to dial in region 'eu'"),
        ({"away_share": 2}, "away_share"),
        ({"journeys": [{"name": "steal", "rate": 1, "deadline_s": 1}]}, "steal"),
        ({"journeys": [{"name": "browse", "rate": 1, "deadline_s": 0}]}, "deadline"),
        ({"period_s": -1}, "period_s"),
        ({"journeys": [{"name": "browse", "speed": 1}]}, "speed"),
        ({"seed": "many"}, "many"),
        ({"surges": [{"at_s": 1, "until_s": 1, "times": 2}]}, "surge"),
        ({"surges": [{"at_s": 1, "until_s": 2, "times": 0.5}]}, "surge"),
        (
            {"journeys": [{"name": "browse", "rate": 1, "deadline_s": 1, "lines": -1}]},
            "basket",
        ),
        (
            {
                "journeys": [
                    {"name": "browse", "rate": 1, "deadline_s": 1, "homes": ["mars"]}
                ]
            },
            "mars",
        ),
    ],
)
def test_a_wrong_plan_is_refused(plan_document, change, says):
    """The message names what is wrong."""
    with pytest.raises(PlanError, match=says):
        Plan.from_json({**plan_document, **change})


def test_a_missing_part_is_named(plan_document):
    """A plan without a seed cannot be repeated."""
    del plan_document["seed"]

    with pytest.raises(PlanError, match="seed"):
        Plan.from_json(plan_document)


def test_a_torn_file_is_refused(tmp_path):
    """Half a plan is no plan."""
    path = tmp_path / "plan.json"
    path.write_text('{"seed": 7,')

    with pytest.raises(PlanError, match="not JSON"):
        Plan.load(path)
