"""Which gateway is chosen, and what the decision says of itself."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from cockroach.policy import DataPolicy
from cockroach.routing import Router
from cockroach.topology import DatabaseTarget, Gateway, TopologyError
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


def nothing(_gateway: Gateway) -> int:
    return 0


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


def test_rows_of_a_region_without_gateways_go_over_the_nearest(clock) -> None:
    """Nearest by measured round trip, told as such; the map only until measured."""
    router = Router(target("us", "asia"), region="asia", clock=clock)
    decision = router.choose("home_region", "eu", lambda _: 0)
    assert decision.gateway.region == "asia"
    assert decision.attributes[names.BALANCER_REASON] == "nearest"
    router.answered("eu", "asia-a", ok=True, latency_s=0.3)
    router.answered("eu", "us-a", ok=True, latency_s=0.1)
    assert router.choose("home_region", "eu", lambda _: 0).gateway.region == "us"


def test_weighted_response_time_leaves_the_slow_gateway(clock) -> None:
    """Round-robin keeps asking a slow gateway, weighted response time does not."""
    router = Router(target("eu"), region="eu", clock=clock)
    asked: dict[str, Counter[str]] = {}
    for pick in ("round_robin", "weighted_response_time"):
        asked[pick] = Counter()
        for _ in range(100):
            clock.advance(0.01)
            name = router.choose("home_region", "eu", nothing, pick=pick).gateway.name
            asked[pick][name] += 1
            slow = name == "eu-a"
            router.answered("eu", name, ok=True, latency_s=0.1 if slow else 0.002)
    assert asked["round_robin"] == {"eu-a": 50, "eu-b": 50}
    assert asked["weighted_response_time"]["eu-a"] == 0


def test_blind_balancers_choose_among_all(clock) -> None:
    """Least connections and response time of all gateways know nothing of homes."""
    router = Router(target("us", "eu"), region="us", clock=clock)
    busy = {"us-a": 2, "us-b": 2, "eu-a": 2, "eu-b": 1}
    least = router.choose(
        "least_connections_all", "us", lambda one: busy[one.name]
    ).gateway
    assert least.name == "eu-b"
    for name in busy:
        router.answered("us", name, ok=True, latency_s=0.01 if name == "eu-a" else 0.1)
    assert (
        router.choose("weighted_response_time_all", "us", nothing).gateway
        == (target("us", "eu").gateways[2])
    )


def test_the_workload_is_followed(clock) -> None:
    """Statements go where the rows of a home are answered soonest, with the reason."""
    router = Router(
        target("us", "eu", "asia"), region="us", clock=clock, rng=random.Random(1)
    )
    cost = {"us": 0.08, "eu": 0.002, "asia": 0.2}
    for _ in range(300):
        clock.advance(0.05)
        gateway = router.choose("follow_workload", "eu", nothing).gateway
        router.answered("eu", gateway.name, ok=True, latency_s=cost[gateway.region])
    decision = router.choose("follow_workload", "eu", nothing)
    assert decision.gateway.region == "eu"
    assert decision.attributes[names.BALANCER_REASON] == "follows_workload"
    assert decision.attributes[names.BALANCER_CANDIDATES] == "eu-a,eu-b"


def test_scores_are_told(clock) -> None:
    """The candidates' scores stand beside the decision, lower is better."""
    router = Router(target("eu"), region="eu", clock=clock)
    router.answered("eu", "eu-a", ok=True, latency_s=0.25)
    told = router.choose("home_region", "eu", nothing, pick="weighted_response_time")
    assert told.scores_text == "eu-a=0.25,eu-b=0"
    assert not router.choose(
        "home_region", "eu", nothing, pick="round_robin"
    ).scores_text


def test_a_draining_gateway_is_left_and_comes_back(router) -> None:
    """What drains is asked nothing new, by round-robin neither, until it is back."""
    router.leave(frozenset({"eu-a"}))
    for policy in ("home_region", "round_robin_all"):
        names_ = {router.choose(policy, "eu", nothing).gateway.name for _ in range(12)}
        assert "eu-a" not in names_
    router.leave(frozenset({"eu-a", "eu-b"}))
    assert router.choose("home_region", "eu", nothing).gateway.region == "us"
    router.leave(frozenset())
    assert {
        router.choose("home_region", "eu", nothing).gateway.name for _ in range(2)
    } == {"eu-a", "eu-b"}


def test_decisions_are_counted(router) -> None:
    """Every choice counts under its policy, home, gateway and reason."""
    for _ in range(4):
        router.choose("home_region", "eu", nothing)
    assert sorted(router.counts()) == [
        ("home_region", "eu", "eu-a", "eu", "round_robin", 2),
        ("home_region", "eu", "eu-b", "eu", "round_robin", 2),
    ]


def test_a_decision_is_logged_when_asked_for(router, caplog) -> None:
    """At level debug each decision is a line: gateway, home, reason, candidates."""
    with caplog.at_level("DEBUG", logger="cockroach.routing"):
        router.choose("home_region", "eu", nothing, pick="round_robin")
    (line,) = caplog.messages
    assert line == (
        "gateway eu-b for rows of eu: round_robin (home_region) of eu-a,eu-b"
    )


def test_without_any_gateway_the_database_is_unavailable(router) -> None:
    """An empty list is refused where it is read, so somebody is always asked."""
    with pytest.raises(TopologyError):
        replace(target("us"), gateways=())


@pytest.mark.parametrize(
    "wrong",
    [
        {"gateway_choice": "nearest"},
        {"gateway_pick": "random"},
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
