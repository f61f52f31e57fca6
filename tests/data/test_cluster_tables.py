"""The embedded cluster is one database: every row from every gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cockroach.embedded import EmbeddedCluster
from cockroach.topology import REGIONS

Dial = Callable[..., psycopg.Connection[Any]]


@pytest.mark.parametrize("gateway", ["us-a", "eu-b", "asia-a"])
def test_every_gateway_sees_every_regions_rows(
    cluster: EmbeddedCluster, dial: Dial, gateway: str
) -> None:
    """Each gateway counts the seeded customers of all three regions."""
    rows = (
        dial(cluster, "us", gateway)
        .execute("select crdb_region, count(*) from customers group by 1")
        .fetchall()
    )

    assert dict.fromkeys(REGIONS, 300) == dict(rows)


@pytest.mark.parametrize("region", REGIONS)
def test_the_seed_is_whole_and_balanced(cluster: EmbeddedCluster, region: str) -> None:
    """Every seeded order has items, a captured payment and a ledger that sums to 0."""
    with psycopg.connect(cluster.admin_dsn(region)) as session:
        (orders, paid, total, unbalanced) = session.execute(
            f"""
            select count(*),
              count(*) filter (where p.state = 'captured'
                and p.amount_minor = o.total_minor),
              count(*) filter (where o.total_minor = (
                select sum(quantity * unit_price_minor) from order_items_{region} i
                where i.order_id = o.id)),
              (select count(*) from (select 1 from ledger_entries_{region}
                group by order_id having sum(amount_minor) <> 0) x)
            from orders_{region} o join payments_{region} p on p.order_id = o.id
            where o.created_at < '2026-06-01'
            """
        ).fetchone() or (0, 0, 0, 1)

    assert (orders, paid, total, unbalanced) == (2000, 2000, 2000, 0)


def test_the_application_is_no_superuser_and_serializable(
    cluster: EmbeddedCluster, dial: Dial
) -> None:
    """The role of the services has no more rights than it needs."""
    row = (
        dial(cluster, "eu", "eu-a")
        .execute(
            "select current_user::text, usesuper,"
            " current_setting('transaction_isolation'),"
            " current_setting('statement_timeout'), current_setting('lock_timeout'),"
            " gateway_region()"
            " from pg_user where usename = current_user"
        )
        .fetchone()
    )

    assert row == ("app", False, "serializable", "15s", "3s", "eu")


def test_a_wrong_password_is_refused(cluster: EmbeddedCluster) -> None:
    """Nobody gets in without the generated password."""
    target = cluster.target("us")
    with pytest.raises(psycopg.OperationalError, match="password authentication"):
        psycopg.connect(
            host=target.gateways[0].host,
            port=target.gateways[0].port,
            dbname=target.dbname,
            user=target.user,
            password="guess",
        )
    assert target.password not in repr(target)
