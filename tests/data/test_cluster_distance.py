"""What crosses regions pays for it, and what does not is free."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from cockroach.embedded import EmbeddedCluster
from cockroach.ids import customer_id
from cockroach.topology import REGIONS, rtt_ms
from links.process import LinksProcess

Dial = Callable[..., psycopg.Connection[Any]]
CUSTOMER: UUID = customer_id("eu", 20).uuid


def _ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def test_every_path_between_regions_was_measured_at_the_start(
    cluster: EmbeddedCluster, rtt_scale: float
) -> None:
    """The start proves 12 client links, 6 foreign ones, 2 streams, a GLOBAL write."""
    proof = cluster.proof

    kinds = [name.partition("-")[0] for name in proof]
    assert (kinds.count("sql"), kinds.count("fdw"), kinds.count("repl")) == (12, 6, 2)
    assert proof["global-write"] >= 160 * rtt_scale * 0.97
    for source in REGIONS:
        for target in REGIONS:
            if source != target:
                expected = rtt_ms(source, target) * rtt_scale * 0.97
                assert proof[f"fdw-{source}-to-{target}"] >= expected
                assert proof[f"sql-{source}-to-{target}-a"] >= expected


def test_a_client_pays_its_own_distance_for_every_statement(
    cluster: EmbeddedCluster, dial: Dial, rtt_scale: float
) -> None:
    """A statement from asia to the gateway in eu takes a whole round trip."""
    session = dial(cluster, "asia", "eu-a")

    assert _ms(lambda: session.execute("select 1")) >= 220 * rtt_scale * 0.97


def test_replication_does_not_escape_the_distance(
    cluster: EmbeddedCluster, rtt_scale: float
) -> None:
    """A GLOBAL write waits for the farthest region, and is then read fresh in all."""
    stale = 0
    readers = [
        psycopg.connect(cluster.admin_dsn(region), autocommit=True)
        for region in ("eu", "asia")
    ]
    with psycopg.connect(cluster.admin_dsn("us"), autocommit=True) as writer:
        for price in range(1001, 1011):
            took = _ms(
                lambda price=price: writer.execute(
                    "update products set price_minor = %s where id = 'P0400'", (price,)
                )
            )
            assert took >= 160 * rtt_scale * 0.97
            for reader in readers:
                row = reader.execute(
                    "select price_minor from products where id = 'P0400'"
                ).fetchone()
                stale += row != (price,)
    for reader in readers:
        reader.close()

    assert stale == 0


def test_a_global_table_is_written_from_any_region(
    cluster: EmbeddedCluster, dial: Dial
) -> None:
    """The application inserts, updates and deletes GLOBAL rows away from us."""
    session = dial(cluster, "asia", "asia-a")
    values = ("PX", "Kite", "toys", 999, "USD", 1)
    session.execute("insert into products values (%s, %s, %s, %s, %s, %s)", values)
    updated = session.execute("update products set price_minor = 1 where id = 'PX'")
    read = dial(cluster, "us", "eu-a").execute(
        "select price_minor from products where id = 'PX'"
    )
    deleted = session.execute("delete from products where id = 'PX'")

    assert (updated.rowcount, read.fetchone(), deleted.rowcount) == (1, (1,), 1)


STATEMENTS: Mapping[str, tuple[str, int]] = {
    "read by key": (
        "select name from customers where crdb_region = 'eu' and id = %(customer)s",
        1,
    ),
    "update by key": (
        (
            "update customers set name = name"
            " where crdb_region = 'eu' and id = %(customer)s"
        ),
        2,
    ),
    "batched insert": (
        (
            "insert into cart_items values"
            " ('eu', %(customer)s, %(fresh)s || '1', 1, '2026-01-01Z'),"
            " ('eu', %(customer)s, %(fresh)s || '2', 1, '2026-01-01Z'),"
            " ('eu', %(customer)s, %(fresh)s || '3', 1, '2026-01-01Z')"
            " on conflict do nothing"
        ),
        2,
    ),
    "join with region equality": (
        (
            "select o.id, i.product_id, p.name from orders o"
            " join order_items i on i.crdb_region = o.crdb_region and i.order_id = o.id"
            " join products p on p.id = i.product_id"
            " where o.crdb_region = 'eu' and o.customer_id = %(customer)s"
        ),
        1,
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_remote_statement_is_charged_like_cockroachdb_would(
    cluster: EmbeddedCluster, dial: Dial, wan_process: LinksProcess, name: str
) -> None:
    """The fold charges one trip for a statement and one for a commit that wrote."""
    statement, trips = STATEMENTS[name]
    session = dial(cluster, "us", "us-a")
    session.execute("select 1 from customers where crdb_region = 'eu' limit 1")
    before = wan_process.control.stats()
    session.execute(statement, {"customer": CUSTOMER, "fresh": uuid4().hex})
    after = wan_process.control.stats()

    paid = {
        link: after[link].trips - before[link].trips
        for link in ("fdw-us-to-eu", "fdw-us-to-asia")
    }
    assert paid == {"fdw-us-to-eu": trips, "fdw-us-to-asia": 0}


def test_a_join_without_region_equality_visits_everybody(
    cluster: EmbeddedCluster, dial: Dial, wan_process: LinksProcess
) -> None:
    """The naive join pays in every region where the local one pays in one."""
    session = dial(cluster, "us", "us-a")
    before = wan_process.control.stats()
    session.execute(
        "select o.id, i.product_id from orders o"
        " join order_items i on i.order_id = o.id"
        " where o.customer_id = %s",
        (CUSTOMER,),
    )
    after = wan_process.control.stats()

    assert all(
        after[link].trips - before[link].trips >= 2
        for link in ("fdw-us-to-eu", "fdw-us-to-asia")
    )
