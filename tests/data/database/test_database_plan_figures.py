"""What a plan tells in figures, and that measuring it changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, select, text, update

from cockroach import explain, ids
from cockroach.plans import Planned, PlanPolicy
from cockroach.schema.tables import customers, orders
from observability import names

EVERY = select(customers.c.name).where(customers.c.id == bindparam("id"))
HOME = EVERY.where(customers.c.crdb_region == bindparam("region"))
ME = {"id": ids.customer_id("eu", 3).uuid}
AT_ONCE = PlanPolicy(after_s=0.0, burst=100)


@pytest.fixture
def figures(spans, until) -> Any:
    async def find(name: str, count: int = 1) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            return [
                dict(event.attributes or {})
                for span in spans.get_finished_spans()
                if span.name == name
                for event in span.events
                if event.name == names.EVENT_SLOW_PLAN
            ]

        await until(lambda: len(found()) >= count)
        return found()

    return find


async def test_a_statement_without_its_region_is_measured_everywhere(
    database, figures
) -> None:
    """The span tells all three regions, the remote statements and the rows."""
    one = database("eu", plans=AT_ONCE)
    await one.start()
    await one.fetch("eu", EVERY, ME)
    (told,) = await figures("SELECT customers")
    assert told[names.PLAN_ANALYZED] is True
    assert set(told[names.PLAN_REGIONS]) == {"us", "eu", "asia"}
    assert told[names.PLAN_REMOTE_STATEMENTS] == 2
    assert told[names.PLAN_ROWS] == 3
    assert told[names.PLAN_NETWORK_BYTES] > 0
    assert told[names.PLAN_EXECUTION_MS] > 0
    assert str(ME["id"]) not in str(told)


async def test_a_statement_at_home_stays_at_home(database, figures) -> None:
    """With its region named, one region is touched and nothing is remote."""
    one = database("eu", plans=AT_ONCE)
    await one.start()
    await one.fetch("eu", HOME, {**ME, "region": "eu"})
    (told,) = await figures("SELECT customers")
    assert told[names.PLAN_REGIONS] == ("eu",)
    assert told[names.PLAN_REMOTE_STATEMENTS] == 0
    assert told[names.PLAN_ROWS] == 1


async def test_a_table_read_from_end_to_end_is_named(database, figures) -> None:
    """Two thousand orders at home, and as many in each other region."""
    one = database("eu", plans=AT_ONCE)
    await one.start()
    await one.fetch("eu", select(orders.c.total_minor))
    (told,) = await figures("SELECT orders")
    assert told[names.PLAN_FULL_SCANS] == ("orders",)
    assert told[names.PLAN_ROWS] >= 6000


async def test_a_sampled_statement_has_its_plan_though_it_was_fast(
    database, figures
) -> None:
    """Of those that nobody would look at, some are looked at."""
    one = database("eu", plans=PlanPolicy(after_s=10.0, sample=1))
    await one.start()
    await one.fetch("eu", HOME, {**ME, "region": "eu"})
    (told,) = await figures("SELECT customers")
    assert told[names.PLAN_AGE_MS] == 0


async def test_a_policy_may_forbid_measuring(database, figures) -> None:
    """Then a SELECT is explained like a write, and not run again."""
    one = database("eu", plans=PlanPolicy(after_s=0.0, analyze=False))
    await one.start()
    await one.fetch("eu", HOME, {**ME, "region": "eu"})
    (told,) = await figures("SELECT customers")
    assert told[names.PLAN_ANALYZED] is False
    assert names.PLAN_ROWS not in told
    assert names.PLAN_EXECUTION_MS not in told


async def test_a_write_taken_for_a_read_changes_nothing(
    database, figures, monkeypatch
) -> None:
    """Should a write ever pass for a SELECT, the transaction refuses to write."""
    monkeypatch.setattr(explain, "may_run", lambda _: True)
    one = database("eu", plans=AT_ONCE)
    await one.start()
    mine = (customers.c.crdb_region == "eu", customers.c.id == ME["id"])
    read = select(customers.c.segment).where(*mine)
    before = (await one.fetch("eu", read))[0][0]
    more = update(customers).where(*mine).values(segment=customers.c.segment + "x")
    try:
        await one.execute("eu", more)
        (told,) = await figures("UPDATE customers")
        # Once by the caller; the explained one fell back to an estimate.
        assert (await one.fetch("eu", read))[0][0] == before + "x"
        assert told[names.PLAN_ANALYZED] is False
    finally:
        await one.execute("eu", update(customers).where(*mine).values(segment=before))


async def test_measuring_has_an_end_and_the_connection_lives_on(
    database, monkeypatch
) -> None:
    """A statement that takes too long is ended by the server and only explained."""
    monkeypatch.setattr(explain, "may_run", lambda _: True)
    one = database("eu", plans=PlanPolicy(most_s=0.2), pool_size=1)
    await one.start()
    gateway = one._router.candidates("home_region", "eu")[0]
    await one.fetch("eu", text("SELECT 1"))
    slow = Planned(gateway, "eu", "SELECT pg_sleep(5)", None)
    plans = [await one._explain(slow) for _ in range(2)]
    assert [plan.analyzed for plan in plans if plan is not None] == [False, False]
    assert sum(pool.discarded for pool in one.pool_stats()) == 0
    assert sum(pool.busy for pool in one.pool_stats()) == 0


async def test_what_was_slower_than_the_bound_is_not_run_again(
    database, spans, until
) -> None:
    """A statement that would be ended anyhow is spared the attempt."""
    one = database("eu", plans=PlanPolicy(most_s=0.2))
    await one.start()
    gateway = one._router.candidates("home_region", "eu")[0]
    for elapsed, analyzed in ((0.1, True), (0.2, False)):
        planned = Planned(gateway, "eu", "SELECT count(*) FROM orders", None, elapsed)
        plan = await one._explain(planned)
        assert plan is not None
        assert plan.analyzed is analyzed


async def test_looking_at_a_statement_makes_nobody_conflict(
    database, cluster, dial
) -> None:
    """The measuring transaction takes no predicate locks, so no 40001 comes of it.

    Beside one that writes: else even a serializable one that only reads takes none.
    """
    writer = dial(cluster, "eu", "eu-a")
    writer.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
    writer.execute("UPDATE customers_eu SET segment = segment WHERE false")
    one = database("eu", plans=AT_ONCE)
    await one.start()
    gateway = one._router.candidates("home_region", "eu")[0]
    seen: list[int] = []
    measure = explain._ask

    async def watched(driver: Any, note: Any, prefix: str, planned: Any) -> Any:
        rows = await measure(driver, note, prefix, planned)
        locks = "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid = %s"
        found = dial(cluster, "eu", "eu-a").execute(locks, [driver.info.backend_pid])
        seen.append(found.fetchone()[0])
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain, "_ask", watched)
        plan = await one._explain(
            Planned(gateway, "eu", "SELECT count(*) FROM orders", None)
        )
    assert plan is not None
    assert plan.analyzed
    assert seen == [0]
