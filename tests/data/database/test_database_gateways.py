"""Gateways that are slow, that drain, that come: the real database, real links."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from sqlalchemy import text

from links.process import LinksProcess
from observability import names
from tests.data.database.test_database_outage import CUSTOMER, ME

SLOW_LINK = "sql-eu-to-eu-a"


def asked(spans) -> Counter[str]:
    told = [span.attributes or {} for span in spans.get_finished_spans()]
    return Counter(
        one[names.GATEWAY_NAME] for one in told if names.DB_QUERY_TEXT in one
    )


async def test_response_time_leaves_a_gateway_that_is_a_little_slow(
    database, spans, wan_process: LinksProcess
) -> None:
    """40 ms more are no outlier's trouble: round-robin stays, response time leaves."""
    found = {}
    wan_process.control.toxic_add(SLOW_LINK, "latency", attributes={"latency": 40})
    try:
        for pick in ("round_robin", "weighted_response_time"):
            one = database(gateway_pick=pick)
            await one.start()
            for _ in range(4):
                await one.fetch("eu", CUSTOMER, ME)
            spans.clear()
            for _ in range(20):
                await one.fetch("eu", CUSTOMER, ME)
            found[pick] = asked(spans)
    finally:
        wan_process.control.toxic_remove(SLOW_LINK, "latency_downstream")
    assert found["round_robin"] == {"eu-a": 10, "eu-b": 10}
    assert found["weighted_response_time"] == {"eu-b": 20}


async def test_the_scores_are_on_the_span(database, spans) -> None:
    """Candidates with their scores, beside the policy and the reason."""
    one = database(gateway_pick="weighted_response_time")
    await one.start()
    await one.fetch("eu", CUSTOMER, ME)
    told = spans.get_finished_spans()[-1].attributes
    assert told[names.BALANCER_SCORES].startswith("eu-a=")
    assert "eu-b=" in told[names.BALANCER_SCORES]


async def test_a_draining_gateway_is_left_and_what_runs_there_ends(
    database, spans, until
) -> None:
    """Its idle connections close, its running statement is answered, nothing is new."""
    one = database(gateway_pick="round_robin")
    await one.start()
    running = [
        asyncio.create_task(one.fetch("eu", text("SELECT pg_sleep(0.3)")))
        for _ in range(2)
    ]
    await until(lambda: sum(pool.busy for pool in one.pool_stats()) == 2)
    one.leave(frozenset({"eu-a"}))
    spans.clear()
    for _ in range(6):
        await one.fetch("eu", CUSTOMER, ME)
    assert set(asked(spans)) == {"eu-b"}
    assert [len(rows) for rows in await asyncio.gather(*running)] == [1, 1]
    assert "eu-a" not in {pool.gateway for pool in one.pool_stats()}
    one.leave(frozenset())
    spans.clear()
    for _ in range(6):
        await one.fetch("eu", CUSTOMER, ME)
    assert set(asked(spans)) == {"eu-a", "eu-b"}


async def test_a_new_gateway_is_used_and_a_vanished_one_is_not(
    database, cluster, spans
) -> None:
    """Another list of the same database takes effect with the next statement."""
    whole = cluster.target("eu")
    fewer = replace(
        whole, gateways=tuple(g for g in whole.gateways if g.name != "eu-b")
    )
    one = database(gateway_pick="round_robin")
    await one.start()
    one.retarget(fewer)
    spans.clear()
    for _ in range(4):
        await one.fetch("eu", CUSTOMER, ME)
    assert asked(spans) == {"eu-a": 4}
    one.retarget(whole)
    for _ in range(4):
        await one.fetch("eu", CUSTOMER, ME)
    assert asked(spans)["eu-b"] == 2
    counted = {(home, gateway): n for _, home, gateway, _, _, n in one.decisions()}
    assert counted["eu", "eu-b"] >= 2
