"""What a page of a customer's orders costs at a gateway that is not at home."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy.dialects import postgresql

from services.orders import statements

PAST_ALL = {"before": datetime(2100, 1, 1, tzinfo=UTC), "before_id": UUID(int=0)}


@pytest.fixture
def page(cluster, dial, wan_process):
    """Read a page at us of eu's customer with the most orders; count orders, trips."""
    with dial(cluster, "eu", "eu-a") as home:
        customer, most = home.execute(
            "select customer_id, count(*) from orders where crdb_region = 'eu'"
            " group by 1 order by 2 desc limit 1"
        ).fetchone()
    assert most >= 3

    def read(statement):
        compiled = statement.compile(dialect=postgresql.dialect())
        given = compiled.params | {"region": "eu", "customer": customer, "limit": 20}
        with dial(cluster, "us", "us-a") as session:
            session.execute("select 1")
            before = trips(wan_process)
            rows = session.execute(str(compiled), given | PAST_ALL).fetchall()
            return {row[1] for row in rows}, trips(wan_process) - before

    return read


def trips(wan_process):
    return sum(
        one.trips
        for name, one in wan_process.control.stats().items()
        if name.startswith("fdw-us-to-")
    )


def test_a_page_costs_two_trips_however_long(page):
    """One for the orders, one for all their items."""
    orders, paid = page(statements.PAGE_LOCAL)

    assert len(orders) >= 3
    assert paid == 2


def test_a_page_without_lines_costs_one(page):
    """What a list does not show is not fetched."""
    orders, paid = page(statements.PAGE_SUMMARY)

    assert orders == page(statements.PAGE_LOCAL)[0]
    assert paid == 1


def test_the_naive_page_asks_every_region(page):
    """Without the region in the join everybody is asked, for the same orders."""
    orders, paid = page(statements.PAGE_NAIVE)

    assert orders == page(statements.PAGE_LOCAL)[0]
    assert paid > 2
