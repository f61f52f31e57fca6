"""CockroachDB's plans in one shape.

The texts are written here, in the form and with the fields that its documentation
describes. No cluster made them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.plan_cockroach import parse
from cockroach.plan_tree import PlanError

FAR = """\
planning time: 2ms
execution time: 1.205s
distribution: full
vectorized: true
plan type: custom
rows decoded from KV: 12,240 (1.5 MiB, 24,480 KVs, 18 gRPC calls)
cumulative time spent in KV: 1.1s
maximum memory usage: 3.2 MiB
DistSQL network usage: 1.5 KiB (12 messages)
regions: asia, eu
sql cpu time: 9ms
isolation level: serializable

• lookup join (left outer)
│ sql nodes: n4, n7
│ kv nodes: n4, n7
│ regions: asia, eu
│ actual row count: 4,006
│ KV time: 401ms
│ KV rows decoded: 4,006
│ KV gRPC calls: 16
│ estimated row count: 3,900
│ table: order_items@order_items_pkey (partial index)
│ equality: (crdb_region, id) = (crdb_region, order_id)
│
└── • filter
    │ actual row count: 2,000
    │ estimated row count: 2,000
    │ filter: card_token = e'O\\'Brien 4111'
    │
    └── • scan
          sql nodes: n4
          regions: eu
          actual row count: 2,000
          KV time: 1.1s
          KV rows decoded: 8,234
          KV gRPC calls: 2
          estimated row count: 8,234 (100% of the table; stats collected 3 days ago)
          table: orders@orders_pkey
          spans: FULL SCAN

index recommendations: 1
1. type: index creation
   SQL command: CREATE INDEX ON orders (card_token) STORING (id);
"""
NEAR = """\
distribution: local
vectorized: true

• scan
  estimated row count: 1 (<0.01% of the table; stats collected 4 minutes ago)
  table: customers@customers_pkey
  spans: [/'eu'/'5f1c3c52-0000-4000-8000-000000000003' - /'eu'/'5f1c3c52']
"""
SHORT = """\
distribution: local

• update
│ table: stock
│ set: available
│
└── • render
    │
    └── • scan
          estimated row count: 12 (100% of the table; stats collected 1 hour ago)
          table: stock@stock_pkey
          spans: FULL SCAN
          locking strength: for update
"""
EARLIER = """\
planning time: 537µs
execution time: 1m3s
rows read from KV: 4 (244 B, 1 gRPC call)
network usage: 0 B (0 messages)
regions: <hidden>
·
• scan
  nodes: n1
  actual row count: 4
  KV rows read: 4
  missing stats
  table: kv@kv_pkey
  spans: [/2 - ]
"""


def test_a_far_statement_tells_regions_rows_scans_and_network() -> None:
    """Every figure of an analyzed plan is found, at its place."""
    plan = parse(FAR.splitlines())
    assert plan.analyzed
    assert plan.regions == ("asia", "eu")
    assert (plan.rows, plan.estimated_rows) == (4006, 3900)
    assert plan.full_scans == ("orders",)
    assert plan.network_bytes == 1536
    assert plan.network_messages == 12
    assert plan.kv_calls == 18
    assert plan.remote_statements is None
    assert (plan.planning_ms, plan.execution_ms) == (2.0, 1205.0)
    join, only, scan = plan.nodes
    assert [join.depth, only.depth, scan.depth] == [0, 1, 2]
    assert (join.table, join.index) == ("order_items", "order_items_pkey")
    assert (scan.regions, scan.rows, scan.ms) == (("eu",), 2000, 1100.0)


def test_no_value_of_it_is_told() -> None:
    """A literal with a quote in it, a key and an advice stay in the database."""
    told = parse(FAR.splitlines()).text()
    assert "Brien" not in told
    assert "4111" not in told
    assert "filter: card_token = ?" in told
    assert "CREATE INDEX" not in told
    told = parse(NEAR.splitlines()).text()
    assert "5f1c" not in told


def test_a_plan_that_was_not_run_knows_the_region_from_the_keys() -> None:
    """The first column of every key is its region."""
    plan = parse(NEAR.splitlines())
    assert not plan.analyzed
    assert plan.regions == ("eu",)
    assert (plan.rows, plan.estimated_rows) == (None, 1)
    assert plan.full_scans == ()


def test_a_full_scan_of_a_small_table_is_none() -> None:
    """What a planner rightly reads as a whole is no finding."""
    plan = parse(SHORT.splitlines())
    assert plan.full_scans == ()
    assert [node.operation for node in plan.nodes] == ["update", "render", "scan"]


def test_a_full_scan_of_unknown_length_counts() -> None:
    """Without statistics nobody may call a table small."""
    text = "• scan\n  missing stats\n  table: orders@orders_pkey\n  spans: FULL SCAN"
    assert parse([text]).full_scans == ("orders",)


def test_fields_of_earlier_releases_are_read_too() -> None:
    """Names that changed between releases mean the same."""
    plan = parse(EARLIER.splitlines())
    assert plan.kv_calls == 1
    assert (plan.network_bytes, plan.network_messages) == (0, 0)
    assert plan.planning_ms == pytest.approx(0.537)
    assert plan.execution_ms == 63_000.0
    assert plan.regions == ()


def test_siblings_stand_beside_each_other() -> None:
    """The depth is the bullet's, whatever stands between."""
    text = (
        "• hash join\n│\n├── • scan\n│     table: a@x\n│\n└── • scan\n      table: b@y"
    )
    plan = parse(text.splitlines())
    assert [(n.depth, n.table) for n in plan.nodes] == [(0, ""), (1, "a"), (1, "b")]


@pytest.mark.parametrize("text", ["", "distribution: local", "no plan at all"])
def test_what_has_no_step_is_refused(text: str) -> None:
    """An answer without a bullet is no plan."""
    with pytest.raises(PlanError):
        parse([text])


@given(st.lists(st.text(alphabet="•│└─ abc:'/@.,0123µKiBms()\n")))
def test_any_text_is_a_plan_or_an_error(lines: list[str]) -> None:
    """A release that prints something else breaks nothing."""
    try:
        plan = parse(lines)
    except PlanError:
        return
    assert plan.nodes
    assert isinstance(plan.attributes(), dict)
