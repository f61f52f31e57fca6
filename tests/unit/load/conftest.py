"""Plans to play with."""

import pytest

from load.plan import Plan

REGIONS = ("us", "eu", "asia")


@pytest.fixture
def plan_document():
    return {
        "seed": 7,
        "start_at": 1000.0,
        "duration_s": 60,
        "journeys": [
            {"name": "checkout", "rate": 10, "deadline_s": 10},
            {"name": "browse", "rate": 40, "deadline_s": 2, "front_page_share": 0.5},
        ],
        "away_share": 0.1,
        "flash": [{"at_s": 30, "readers_per_region": 60, "within_s": 0.1}],
        "storefronts": {
            r: [f"127.0.0.1:{p}", "127.0.0.1:9"] for p, r in enumerate(REGIONS)
        },
        "catalogs": {r: ["127.0.0.1:5"] for r in REGIONS},
        "catalogue": {
            "regions": list(REGIONS),
            "customers_per_region": 300,
            "customer_id": "{region}-00000000-0000-4000-8000-{n:012d}",
            "products": 500,
            "product_id": "P{n:04d}",
        },
    }


@pytest.fixture
def plan(plan_document):
    return Plan.from_json(plan_document)
