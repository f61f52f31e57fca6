"""Migrations on a real database, and CockroachDB's DDL as PostgreSQL reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import conninfo
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.pool import NullPool

from cockroach import migrations
from cockroach.embedded import EmbeddedCluster
from cockroach.migrations.versions import r0006_stock_by_shard as r0006
from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.ddl import Layout
from cockroach.schema.declare import SchemaSpec, TableSpec
from cockroach.schema.embedded import EmbeddedLayout
from cockroach.schema.naive import NAIVE
from cockroach.schema.postgres import PostgresLayout
from cockroach.schema.tables import SHOP, shop
from tests.data.portable import portable


def _connect(dsn: str) -> Iterator[Connection]:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(dsn),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


@pytest.fixture
def region_database(cluster: EmbeddedCluster) -> Iterator[Connection]:
    """Work on one region's server; nothing of it is kept."""
    yield from _connect(cluster.admin_dsn("eu"))


@pytest.fixture
def plain_database(cluster: EmbeddedCluster) -> Iterator[Connection]:
    """Work on an empty database of its own."""
    admin = conninfo.make_conninfo(cluster.admin_dsn("asia"), dbname="template1")
    with psycopg.connect(admin, autocommit=True) as session:
        session.execute("create database plain")
    yield from _connect(conninfo.make_conninfo(admin, dbname="plain"))
    with psycopg.connect(admin, autocommit=True) as session:
        session.execute("drop database plain")


def test_the_embedded_schema_goes_down_and_up_again(
    region_database: Connection,
) -> None:
    """Every statement of the layout has its way back."""
    layout = EmbeddedLayout(region="eu")
    before = set(inspect(region_database).get_table_names())
    migrations.downgrade(region_database, layout)
    empty = set(inspect(region_database).get_table_names())
    migrations.upgrade(region_database, layout)
    after = set(inspect(region_database).get_table_names())

    assert empty == {"alembic_version"}
    assert after == before >= {"orders", "stock_eu"}
    assert migrations.current(region_database) == migrations.head()


def test_a_plain_postgresql_takes_the_schema(plain_database: Connection) -> None:
    """One server without regions has every table, and is at the newest revision."""
    migrations.upgrade(plain_database, PostgresLayout())
    migrations.upgrade(plain_database, PostgresLayout())

    assert set(shop.tables) < set(inspect(plain_database).get_table_names())
    assert migrations.current(plain_database) == migrations.head()


# An order of a seeded customer, as the first revision could hold it.
ORDER = """
insert into {orders} (crdb_region, id, customer_id, idem_key, fingerprint, state,
  total_minor, currency, card_token, created_at, updated_at)
select 'eu', gen_random_uuid(), '00000000-0000-4000-8000-000000000001', n::text, '',
  'accepted', 1, 'EUR', '', now(), now() from generate_series(1, 100) as n
"""


# Spread as the shop spreads it, on one row only, and on a row that is not the first.
STOCK = (
    (
        "insert into {stock} (crdb_region, product_id, available, shard) "
        "select 'eu', 'split', 10 + n, n from generate_series(0, 7) as n"
    ),
    "insert into {stock} (crdb_region, product_id, available) values ('eu', 'one', 5)",
    (
        "insert into {stock} (crdb_region, product_id, available, shard) "
        "values ('eu', 'lost-0', 7, 3), ('eu', 'none', 0, 0), ('eu', 'none', 0, 1)"
    ),
)


def _goods(connection: Connection, stock: str) -> dict[str, int]:
    found = connection.exec_driver_sql(
        f"select product_id, sum(available) from {stock} group by product_id"
    )
    return {row[0]: int(row[1]) for row in found}


def _indexes(connection: Connection) -> dict[str, str]:
    found = connection.exec_driver_sql(
        "select indexname, indexdef from pg_indexes "
        "where schemaname in ('public', 'glob') and tablename <> 'alembic_version'"
    )
    return {row[0]: row[1] for row in found}


def _back_and_forth(connection: Connection, layout: Layout, orders: str) -> None:
    """Step down to the first revision and up again, with orders in the table."""
    connection.exec_driver_sql(ORDER.format(orders=orders))
    stock = layout.own_rows("stock")
    for statement in STOCK:
        connection.exec_driver_sql(statement.format(stock=stock))
    goods = _goods(connection, stock)
    newest = _indexes(connection)
    known = migrations.revisions()
    for revision in reversed(known[:-1]):
        migrations.downgrade(connection, layout, revision)
        assert migrations.current(connection) == revision
        assert migrations.state(connection) == "older"
    oldest = _indexes(connection)
    rows = connection.exec_driver_sql(f"select count(*) from {stock}").scalar_one()
    assert _goods(connection, stock) == goods
    assert rows == len(goods)
    for revision in known[1:]:
        migrations.upgrade(connection, layout, revision)
        assert migrations.current(connection) == revision
    counted = connection.exec_driver_sql(f"select count(*) from {orders}").scalar_one()

    assert counted >= 100
    assert _goods(connection, stock) == goods
    assert goods["lost-0"] == 7
    assert _indexes(connection) == newest
    assert {"orders_by_state"} <= set(oldest) - set(newest)
    assert {"orders_by_state_sharded", "products_by_category"} <= set(newest)
    assert not {"orders_by_state_sharded", "products_by_category"} & set(oldest)
    assert migrations.state(connection) == "current"


def test_a_region_goes_through_every_revision_with_its_data(
    region_database: Connection,
) -> None:
    """Indexes come and go on the partitioned and the replicated tables; rows stay."""
    _back_and_forth(region_database, EmbeddedLayout(region="eu"), "orders_eu")

    products = region_database.exec_driver_sql("select count(*) from products")
    assert products.scalar_one() == 500


def test_a_plain_postgresql_goes_through_every_revision_with_its_data(
    plain_database: Connection,
) -> None:
    """The same on one server."""
    migrations.upgrade(plain_database, PostgresLayout())
    plain_database.exec_driver_sql(
        "insert into customers (crdb_region, id, name, segment, country) values "
        "('eu', '00000000-0000-4000-8000-000000000001', '', '', '')"
    )

    _back_and_forth(plain_database, PostgresLayout(), "orders")


def _columns(connection: Connection) -> dict[str, list[tuple[str, ...]]]:
    found = connection.exec_driver_sql(
        "select table_name, column_name, data_type, is_nullable, column_default "
        "from information_schema.columns where table_schema = 'public' "
        "and table_name <> 'alembic_version' order by table_name, ordinal_position"
    )
    made: dict[str, list[tuple[str, ...]]] = {}
    for row in found:
        made.setdefault(row[0], []).append(tuple(row[1:]))
    return made


def test_a_broken_off_way_back_loses_no_goods(plain_database: Connection) -> None:
    """Each statement commits itself on CockroachDB, and is repeated after a break."""
    run = plain_database.exec_driver_sql
    migrations.upgrade(plain_database, PostgresLayout())
    for statement in STOCK:
        run(statement.format(stock="stock"))
    goods = _goods(plain_database, "stock")
    for _ in range(3):
        for statement in (r0006._GATHER, r0006._CLEAR, r0006._GATHER):
            run(statement.format(stock="stock"))
            assert _goods(plain_database, "stock") == goods
    migrations.downgrade(plain_database, PostgresLayout(), "0005")

    assert _goods(plain_database, "stock") == goods


def test_the_revisions_end_where_the_declaration_stands(
    plain_database: Connection,
) -> None:
    """A database that went step by step has what one made at once has."""
    assert migrations.state(plain_database) == "missing"
    for revision in migrations.revisions():
        migrations.upgrade(plain_database, PostgresLayout(), revision)
    stepwise = _indexes(plain_database)
    columns = _columns(plain_database)
    migrations.downgrade(plain_database, PostgresLayout())
    for statement in PostgresLayout().create():
        plain_database.exec_driver_sql(statement)

    assert _indexes(plain_database) == stepwise
    assert _columns(plain_database) == columns
    assert ("shard", "bigint", "NO", "0") in columns["stock"]


@pytest.mark.parametrize("move", [migrations.upgrade, migrations.downgrade])
def test_a_newer_schema_is_refused_and_left_alone(
    plain_database: Connection, move: Callable[..., None]
) -> None:
    """Nothing is changed by a program that does not know what it would change."""
    migrations.upgrade(plain_database, PostgresLayout())
    plain_database.exec_driver_sql("update alembic_version set version_num = '9999'")
    before = _indexes(plain_database)

    assert migrations.state(plain_database) == "newer"
    with pytest.raises(migrations.NewerSchemaError, match="revision 9999"):
        move(plain_database, PostgresLayout())
    assert _indexes(plain_database) == before
    assert migrations.current(plain_database) == "9999"


@pytest.mark.parametrize("schema", [SHOP, NAIVE], ids=["shop", "naive"])
def test_the_ddl_of_cockroachdb_is_sound_but_for_its_localities(
    plain_database: Connection, schema: SchemaSpec
) -> None:
    """Without what is CockroachDB's own, PostgreSQL makes every table and index."""
    run = plain_database.exec_driver_sql
    run("create type crdb_internal_region as enum ('us', 'eu', 'asia')")
    layout = CockroachLayout(schema=schema)
    # Each may be repeated after a break.
    for statement in [*layout.create(), *layout.create()]:
        if told := portable(statement):
            run(told)

    made = inspect(plain_database)
    assert set(made.get_table_names()) == set(schema.by_name)
    for name, table in schema.by_name.items():
        found = [c["name"] for c in made.get_columns(name)]
        assert found == list(table.column_names)
        for index in table.indexes:
            assert (index.name in _indexes(plain_database)) == (index.until is None)
            for change in (layout.make_index, layout.drop_index):
                for statement in change(index.name):
                    run(portable(statement))
        for statement in _there_and_back(layout, table):
            run(portable(statement))
        found = [c["name"] for c in inspect(plain_database).get_columns(name)]
        assert found == list(table.column_names)


def _there_and_back(layout: CockroachLayout, table: TableSpec) -> Iterator[str]:
    """Take a table's later columns and its new key away, and give them again."""
    if table.former_key is not None:
        yield from layout.set_key(table.name, "0001")
    for change in (layout.drop_column, layout.add_column):
        for column in table.later:
            yield from change(table.name, column.name)
    if table.former_key is not None:
        yield from layout.set_key(table.name, table.former_key.until)


def test_split_points_are_values_of_their_keys(plain_database: Connection) -> None:
    """What a range is cut at is of the type of its column, in every table."""
    run = plain_database.exec_driver_sql
    run("create type crdb_internal_region as enum ('us', 'eu', 'asia')")
    for statement in CockroachLayout().create():
        if told := portable(statement):
            run(told)
    checked = 0
    for table in SHOP.tables:
        for split in table.splits:
            for point in split.points:
                for column, value in zip(table.key, point, strict=False):
                    kind = run(
                        "select format_type(atttypid, atttypmod) from pg_attribute "
                        f"where attrelid = '{table.name}'::regclass "
                        f"and attname = '{column}'"
                    ).scalar_one()
                    assert (
                        run(f"select ('{value}'::{kind})::text").scalar_one() == value
                    )
                    checked += 1

    assert checked >= 90


def test_the_naive_schema_works_and_joins_without_a_region(
    plain_database: Connection,
) -> None:
    """PostgreSQL takes it; an order's page is joined by numbers that counted up."""
    run = plain_database.exec_driver_sql
    for statement in PostgresLayout(schema=NAIVE).create():
        run(statement)
    run(
        "insert into customers (home_region, name, segment, country) "
        "values ('eu', 'Ada', 'consumer', 'DE')"
    )
    run(
        "insert into products (name, category, price_minor, currency, popularity) "
        "values ('Lamp', 'home', 100, 'EUR', 1)"
    )
    for key in ("a", "b"):
        run(
            "insert into orders (customer_id, idem_key, state, total_minor, currency, "
            f"created_at, updated_at) values (1, '{key}', 'accepted', 100, 'EUR', "
            "now(), now())"
        )
    run(
        "insert into order_items (order_id, product_id, quantity, unit_price_minor) "
        "values (2, 1, 1, 100)"
    )
    page = run(
        "select o.id, p.name from orders o join order_items i on i.order_id = o.id "
        "join products p on p.id = i.product_id where o.customer_id = 1 "
        "order by o.created_at desc limit 10"
    ).fetchall()

    assert page == [(2, "Lamp")]
    for statement in PostgresLayout(schema=NAIVE).drop():
        run(statement)
