"""PostgreSQL's plans, as servers of the embedded cluster made them, in one shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cockroach.plan_postgres import parse
from cockroach.plan_tree import PlanError

# From PostgreSQL 18.6 at the gateway us-a, with the keys that say nothing left out.
PLANS = json.loads(Path(__file__).with_name("postgres_plans.json").read_text())


def scan(**values: Any) -> list[dict[str, Any]]:
    step = {
        "Node Type": "Seq Scan",
        "Relation Name": "orders_us",
        "Total Cost": 57.0,
        "Plan Rows": 2000,
    }
    return [{"Plan": step | values}]


def test_a_statement_without_a_region_touches_them_all() -> None:
    """Two regions are asked over the wire, the third is at home."""
    plan = parse(PLANS["every_region"], gateway_region="us")
    assert plan.analyzed
    assert plan.regions == ("asia", "eu", "us")
    assert plan.remote_statements == 2
    assert (plan.rows, plan.estimated_rows) == (3, 15)
    assert plan.full_scans == ()
    assert plan.network_bytes == 64
    assert plan.execution_ms == 27.111
    assert [node.depth for node in plan.nodes] == [0, 1, 1, 1]


def test_a_whole_partition_of_another_region_is_a_full_scan() -> None:
    """A remote statement whose only condition is the region reads everything."""
    plan = parse(PLANS["join_of_one_region"], gateway_region="us")
    assert plan.full_scans == ("contract_prices",)
    assert plan.regions == ("us", "eu")
    assert plan.network_bytes == 40_000


def test_a_join_that_runs_in_its_region_is_one_remote_statement() -> None:
    """Both tables are named, in the region that they are in."""
    plan = parse(PLANS["join_pushed_down"], gateway_region="us")
    (remote,) = [node for node in plan.nodes if node.table]
    assert remote.table == "orders, order_items"
    assert plan.regions == ("eu",)
    assert plan.remote_statements == 1


def test_a_write_that_was_not_run_has_estimates_only() -> None:
    """Nothing is told as measured that was not."""
    plan = parse(PLANS["update_of_every_region"], gateway_region="us")
    assert not plan.analyzed
    assert plan.rows is None
    assert plan.network_bytes is None
    assert plan.execution_ms is None
    assert plan.regions == ("asia", "eu", "us")
    assert plan.text().splitlines()[0] == "Update on customers (estimated 0)"
    assert "Foreign Update on customers in eu" in plan.text()


def test_a_global_table_is_read_at_home() -> None:
    """GLOBAL rows come from the gateway's own region, wherever that is."""
    assert parse(PLANS["global_table"], gateway_region="asia").regions == ("asia",)


@pytest.mark.parametrize("name", PLANS)
def test_no_value_is_in_a_plan(name: str) -> None:
    """Of what was asked for, nothing is in the text or in a figure."""
    plan = parse(PLANS[name], gateway_region="us")
    told = json.dumps(plan.attributes())
    for value in ("secret", "00000000-0000", "'x'", "> 3"):
        assert value not in told


def test_a_row_that_was_written_is_not_in_the_plan() -> None:
    """What PostgreSQL lists as output is never taken over."""
    plan = parse(scan(Output=["'a name'::text", "7"]), gateway_region="us")
    assert plan.text() == "Seq Scan on orders in us (estimated 2000, full scan)"


@pytest.mark.parametrize(
    ("values", "full"),
    [
        ({}, ("orders",)),
        ({"Total Cost": 6.75}, ()),
        ({"Actual Rows": 1000.0, "Actual Loops": 1}, ("orders",)),
        ({"Actual Rows": 3.0, "Actual Loops": 1}, ()),
        (
            {"Actual Rows": 1.0, "Actual Loops": 1, "Rows Removed by Filter": 999},
            ("orders",),
        ),
        ({"Actual Rows": 10.0, "Actual Loops": 100}, ("orders",)),
        ({"Actual Rows": 0, "Actual Loops": 0}, ()),
        ({"Node Type": "Index Scan", "Actual Rows": 5000, "Actual Loops": 1}, ()),
    ],
)
def test_a_full_scan_is_a_long_one(values: dict[str, Any], full: tuple[str]) -> None:
    """Rows that were read count, those thrown away too; what was not run does not."""
    assert parse(scan(**values), gateway_region="us").full_scans == full


@pytest.mark.parametrize(
    ("remote", "full"),
    [
        ("SELECT id FROM public.orders_eu", True),
        ("SELECT id FROM public.orders_eu WHERE ((crdb_region = 'eu'))", True),
        ("SELECT id FROM public.orders_eu ORDER BY id ASC NULLS LAST", True),
        ("SELECT 1 FROM orders_eu WHERE ((crdb_region = 'eu')) AND ((a = 1))", False),
        ("SELECT id FROM public.orders_eu LIMIT 1000::bigint", False),
    ],
)
def test_a_remote_statement_is_full_only_without_a_condition(
    remote: str, full: bool
) -> None:
    """How the other region finds the rows of a condition is not known here."""
    step = {"Node Type": "Foreign Scan", "Relation Name": "orders_eu"}
    plan = parse(scan(**step, **{"Remote SQL": remote}), gateway_region="us")
    assert (plan.full_scans == ("orders",)) is full


def test_a_step_that_was_not_executed_touched_nothing() -> None:
    """A branch that the server skipped asked no region."""
    far = {
        "Node Type": "Foreign Scan",
        "Relation Name": "orders_eu",
        "Remote SQL": "SELECT 1 FROM orders_eu",
        "Plan Rows": 5000,
        "Actual Rows": 0.0,
        "Actual Loops": 0,
    }
    top = {"Node Type": "Append", "Plan Rows": 1, "Plans": [far]}
    for loops, regions in ((0, ()), (1, ("eu",))):
        far["Actual Loops"] = loops
        plan = parse(
            [{"Plan": top | {"Actual Rows": 0.0, "Actual Loops": 1}}],
            gateway_region="us",
        )
        assert plan.regions == regions
        assert plan.remote_statements == loops


def test_the_executions_of_a_step_are_counted_together() -> None:
    """PostgreSQL tells the mean of one; a loop of a hundred asks a hundred times."""
    step = {
        "Node Type": "Foreign Scan",
        "Remote SQL": "SELECT 1 FROM t WHERE ((id = $1))",
        "Actual Rows": 0.5,
        "Actual Loops": 100,
        "Actual Total Time": 2.0,
        "Plan Width": 10,
    }
    plan = parse(scan(**step), gateway_region="us")
    assert plan.remote_statements == 100
    assert plan.rows == 50
    assert plan.nodes[0].ms == 200.0
    assert plan.network_bytes == 500


@pytest.mark.parametrize("bad", ["", "{}", [], [{}], [{"Plan": {}}], None, 7, "[1]"])
def test_what_is_no_plan_is_refused(bad: Any) -> None:
    """One error for everything that cannot be read."""
    with pytest.raises(PlanError, match="no plan of PostgreSQL"):
        parse(bad, gateway_region="us")
