"""Which gateway is chosen, and what the decision says of itself."""

from __future__ import annotations

from collections import Counter

import pytest

from cockroach.errors import DatabaseUnavailableError
from cockroach.policy import DataPolicy
from cockroach.routing import Router
from cockroach.topology import DatabaseTarget, Gateway
from observability import names


def target(*regions: str) -> DatabaseTarget:
    return DatabaseTarget(
        flavour="embedded",
        dbname="shop",
        user="app",
        password="secret",
        gateways=tuple(
            Gateway(name=f"{r}-{z}", region=r, zone=z, host="127.0.0.1", port=n)
            for n, (r, z) in enumerate((r, z) for r in regions for z in "ab")
        ),
    )


@pytest.fixture
def router() -> Router:
    return Router(target("us", "eu", "asia"), region="us")


def test_round_robin_ignores_where_the_data_is(router) -> None:
    """Every gateway of every region gets its turn, whatever the home region."""
    chosen = Counter(
        router.choose("round_robin_all", "eu", lambda _: 0).gateway.name
        for _ in range(60)
    )

    assert {one.name: 10 for one in target("us", "eu", "asia").gateways} == chosen


def test_the_home_region_decides(router) -> None:
    """Only the home region's gateways are used, in turn when equally busy."""
    chosen = Counter(
        router.choose("home_region", "eu", lambda _: 0).gateway.name for _ in range(10)
    )

    assert chosen == {"eu-a": 5, "eu-b": 5}


def test_the_less_busy_gateway_gets_the_statement(router) -> None:
    """Work in flight outweighs whose turn it is."""
    busy = {"eu-a": 3, "eu-b": 1}
    decisions = [
        router.choose("home_region", "eu", lambda one: busy[one.name]) for _ in range(4)
    ]

    assert {"eu-b"} == {one.gateway.name for one in decisions}
    assert {"round_robin", "least_in_flight"} == {
        one.attributes[names.BALANCER_REASON] for one in decisions
    }


def test_a_gateway_that_refused_is_passed_by(router) -> None:
    """While the region has another gateway, the failed one gets nothing."""
    decisions = [
        router.choose("home_region", "eu", lambda _: 0, avoid=frozenset({"eu-a"}))
        for _ in range(4)
    ]

    assert {"eu-b"} == {one.gateway.name for one in decisions}


def test_with_all_gateways_avoided_one_is_still_asked(router) -> None:
    """Avoiding everything would be an outage of our own making."""
    both = frozenset({"eu-a", "eu-b"})

    assert (
        router.choose("home_region", "eu", lambda _: 0, avoid=both).gateway.region
        == "eu"
    )


def test_the_decision_is_told(router) -> None:
    """Policy, candidates, choice, reason and regions are attributes, no secrets."""
    told = router.choose("home_region", "eu", lambda _: 0).attributes

    assert told[names.BALANCER_CANDIDATES] == "eu-a,eu-b"
    assert told[names.BALANCER_POLICY] == "home_region"
    assert (
        told[names.CLIENT_REGION],
        told[names.HOME_REGION],
        told[names.GATEWAY_REGION],
    ) == ("us", "eu", "eu")
    assert "secret" not in str(dict(told))


def test_a_region_without_gateways_is_unavailable() -> None:
    """A home region that the target does not have is refused, not misrouted."""
    with pytest.raises(DatabaseUnavailableError):
        Router(target("us"), region="us").choose("home_region", "eu", lambda _: 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gateway_choice": "nearest"},
        {"single_statements": "batch"},
        {"pool_size": 0},
        {"pool_timeout_s": -1.0},
        {"transaction_attempts": 0},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong) -> None:
    """Values out of range are a ValueError when the policy is made."""
    values = {
        "gateway_choice": "home_region",
        "single_statements": "autocommit",
        "pool_size": 1,
        "pool_overflow": 0,
        "pool_timeout_s": 1.0,
        "warm": False,
        "transaction_attempts": 1,
        "breaker": False,
    }
    with pytest.raises(ValueError, match=r"\w"):
        DataPolicy(**(values | wrong))
