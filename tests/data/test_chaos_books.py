"""The invariants' SQL against the real tables: quiet on sound data, loud on unsound."""

import time
import uuid
from contextlib import contextmanager

import psycopg
import pytest

from chaos.invariants import _COUNTS, Books, await_settled
from cockroach.topology import REGIONS


@pytest.fixture
def books(cluster):
    return Books({region: cluster.admin_dsn(region) for region in REGIONS})


@contextmanager
def spoilt(cluster, do, undo, **values):
    """Change the data at eu's server for the length of a test."""
    with psycopg.connect(cluster.admin_dsn("eu"), autocommit=True) as connection:
        connection.execute(do, values)
        try:
            yield
        finally:
            connection.execute(undo, values)


def test_every_invariant_is_counted(books):
    """Each has its query, and the tables' own checks hold."""
    assert set(books.counts()) == set(_COUNTS)
    assert books.counts()["no_negative_stock"] == 0


def test_all_goods_are_counted(books):
    """Every region's shelf, the scarce products too."""
    stock = books.stock()

    assert set(stock) == set(REGIONS)
    assert {"P0001", "P0499", "P0500"} <= set(stock["eu"])
    assert stock["eu"]["P0001"] > 1000


def test_a_ledger_that_is_off_is_found(cluster, books):
    """An entry without its opposite."""
    before = books.counts()
    with spoilt(
        cluster,
        "INSERT INTO ledger_entries VALUES ('eu', %(id)s, %(id)s, 'x', 5, now())",
        "DELETE FROM ledger_entries WHERE crdb_region = 'eu' AND id = %(id)s",
        id=uuid.uuid4(),
    ):
        found = books.counts()

    assert found["ledger_sums_to_zero"] == before["ledger_sums_to_zero"] + 1


def test_an_unpaid_confirmed_order_is_found(cluster, books):
    """Confirmed is a promise about money."""
    name = "confirmed_orders_are_paid"
    before = books.counts()
    with spoilt(
        cluster,
        """INSERT INTO orders SELECT 'eu', %(id)s, id, 'k', 'f', 'confirmed', 5, 'EUR',
            NULL, 'tok_visa', now(), now() FROM customers WHERE crdb_region = 'eu'
            LIMIT 1""",
        "DELETE FROM orders WHERE crdb_region = 'eu' AND id = %(id)s",
        id=uuid.uuid4(),
    ):
        found = books.counts()

    assert found[name] == before[name] + 1


def test_an_order_under_way_is_waited_for(cluster, books):
    """And counted when it does not end; older ones are somebody else's."""
    began = time.time() - 0.2
    others = books.stuck(began)
    with spoilt(
        cluster,
        """INSERT INTO orders SELECT 'eu', %(id)s, id, 'k', 'f', 'accepted', 5, 'EUR',
            NULL, 'tok_visa', now(), now() FROM customers WHERE crdb_region = 'eu'
            LIMIT 1""",
        "DELETE FROM orders WHERE crdb_region = 'eu' AND id = %(id)s",
        id=uuid.uuid4(),
    ):
        until = time.time() + 0.3
        assert await_settled(books, since_s=began, until_s=until) == others + 1
        assert time.time() >= until
        assert books.stuck(time.time() + 60) == 0
    assert books.stuck(began) == others


def test_orders_are_looked_up_at_home(cluster, books):
    """Known ones with their state; the others are left out."""
    with psycopg.connect(cluster.admin_dsn("eu"), autocommit=True) as connection:
        row = connection.execute(
            "SELECT id FROM orders WHERE crdb_region = 'eu' AND state = 'confirmed' "
            "LIMIT 1"
        ).fetchone()
    known, unknown = row[0], uuid.uuid4()

    assert books.states({"eu": [known, unknown]}) == {f"eu-{known}": "confirmed"}


def test_an_intake_tells_when_it_was_brought_home(books):
    """Nothing was taken since a moment that is still to come."""
    assert books.drained(time.time() + 60) == (0, None)
