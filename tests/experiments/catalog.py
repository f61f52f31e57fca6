"""What the suite plays of each experiment, or where else it is played."""

from __future__ import annotations

#: The cure that the experiment is about, and the checks of which one is red without it.
MISSED = {
    "add-capacity": ("locality-routing", {"capacity_is_not_missed"}),
    "chatty-checkout": ("batching", {"few_statements_per_checkout"}),
    "contract-prices": ("local-schema", {"pages_stay_in_their_region"}),
    "hot-key": ("hot-keys", {"buyers_do_not_lose", "bookings_do_not_lose"}),
    "pool-exhaustion": ("bounded-pools", {"pool_waits_are_bounded"}),
    "slow-gateway": ("weighted-routing", {"slow_gateway_is_left"}),
    "wrong-gateway": ("locality-routing", {"statements_stay_home"}),
}
#: Those that it leaves to others, and why.
ELSEWHERE = {
    "range-split": "only CockroachDB has ranges: cured where COCKROACH_URL names one",
    "slow-database": "the sceptic's suite plays it with each cure taken away",
}
#: Those that need no links to the database, so that one given by URL will do.
GIVEN = ("chatty-checkout", "hot-key")
#: What sick cannot show there where rows are near. Transactions of milliseconds do not
#: meet at a hot row, so that its cure is not missed either.
NEEDS_DISTANCE = {
    "chatty-checkout": {"affected_wait_p95"},
    "hot-key": {
        "affected_wait_p95",
        "bookings_lose_to_each_other",
        "buyers_lose_to_each_other",
        "buyers_wait_for_locks",
    },
}
#: Those whose cure is missed there all the same.
MISSED_WHEREVER = ("chatty-checkout",)
