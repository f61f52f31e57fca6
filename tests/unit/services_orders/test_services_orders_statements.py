"""Every statement of the checkout, compiled for both databases."""

import re

import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import Executable
from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

from services.inventory import statements as inventory
from services.orders import intake_statements as intake
from services.orders import statements as orders
from services.payments import statements as payments

STATEMENTS = {
    f"{module.__name__.split('.')[1]}.{name}": value
    for module in (inventory, payments, orders, intake)
    for name, value in vars(module).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, Executable)
}
DIALECTS = (PGDialect_psycopg, CockroachDBDialect_psycopg)


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_statement_is_written_for_both_databases(name, dialect):
    """Each names its region, targets no conflict, and takes time and ids from us."""
    sql = str(STATEMENTS[name].compile(dialect=dialect()))

    assert "crdb_region" in sql
    assert not re.search(r"ON CONFLICT\s*\(", sql)
    assert not re.search(r"\b(now|gen_random_uuid|clock_timestamp)\s*\(", sql)


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_changes_a_table_once(name):
    """CockroachDB refuses two changes of one table in one statement."""
    sql = str(STATEMENTS[name].compile(dialect=CockroachDBDialect_psycopg()))
    changed = re.findall(r"(?:INSERT INTO|UPDATE) (?!SET\b)(\w+)", sql)

    assert len(changed) == len(set(changed))


def test_no_batch_asks_for_rows_back_where_it_may_be_remote():
    """Rows inserted in a batch are not returned: it would send them one by one."""
    for name in ("orders.ACCEPT", "orders.INSERT_ITEM", "payments.RECORD"):
        sql = str(STATEMENTS[name].compile(dialect=PGDialect_psycopg()))
        last = sql[sql.rindex("INSERT INTO") :]
        assert "RETURNING" not in last, name


@pytest.mark.parametrize("name", [n for n in STATEMENTS if n != "orders.PAGE_NAIVE"])
def test_the_region_is_a_plain_predicate_or_value(name):
    """Both planners can prune by it; the naive page is the exception on purpose."""
    sql = str(STATEMENTS[name].compile(dialect=PGDialect_psycopg()))

    assert re.search(r"crdb_region = %\(region\)s|crdb_region[,)]", sql)
