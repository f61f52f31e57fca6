"""Every statement that the services send: listed, known to both, prepared by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import conninfo
from sqlalchemy import select, text

from cockroach.database import Database
from cockroach.embedded import EmbeddedCluster
from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.postgres import PostgresLayout
from cockroach.schema.tables import stock
from services.storefront.store import StorefrontStore
from tests.data import statement_list
from tests.data.portable import portable
from tests.data.statement_list import DIALECTS, FILE, Sent, listed, recording, render

# SQLAlchemy writes what is SQL in capitals and what is a name without.
WORDS = set(
    re.findall(
        r"\w+",
        """
        ALL AND ANY ARRAY AS ASC BY CASE CONFLICT CROSS DELETE DESC DISTINCT DO ELSE END
        EXISTS FROM GROUP IN INNER INSERT INTO IS JOIN LEFT LIMIT NOT NOTHING NULL ON OR
        ORDER OUTER RETURNING SELECT SET THEN UNION UPDATE VALUES WHEN WHERE WITH
        """,
    )
)
TYPES = {
    "BIGINT",
    "BIGINT[]",
    "INTEGER",
    "JSONB",
    "TEXT",
    "TEXT[]",
    "TIMESTAMP WITH TIME ZONE",
    "UUID",
    "UUID[]",
    "VARCHAR",
    "VARCHAR[]",
}
FUNCTIONS = {"any", "array", "count", "jsonb_to_recordset", "sum", "unnest"}
OPERATORS = set(re.findall(r"\S+", "= < > <= >= != - + * || , . ( ) ;"))
_TYPE = r"TIMESTAMP WITH TIME ZONE|[A-Z]+(?:\[\])?"
# The columns of a function's rows, typed or not.
_ALIAS = re.compile(rf"\bAS (?P<name>[a-z_0-9]+)\((?:\w+(?: (?:{_TYPE}))?(?:, )?)+\)")
_TOKEN = re.compile(
    r"\s+|'[^']*'|\d+|%\(\w+\)s"
    rf"|::(?P<cast>{_TYPE})|CAST\((?:[^()]|%\(\w+\)s)+ AS (?P<type>{_TYPE})\)"
    r"|(?P<function>[a-z_]+)\(|(?P<word>[A-Z]+)\b|[a-z_][a-z0-9_]*"
    r"|(?P<operator>(?:[<>!=|@~&#^]|%(?!\())+|[-+*,.();])|(?P<other>.)"
)
_CHANGED = re.compile(r"(?:INSERT INTO|(?<!FOR )UPDATE|DELETE FROM) (\w+)")
_ALLOWED = {
    "cast": TYPES,
    "type": TYPES,
    "function": FUNCTIONS,
    "word": WORDS,
    "operator": OPERATORS,
    "other": set[str](),
}


def unknown_to_cockroachdb(sql: str) -> list[str]:
    """List what is not among the forms that CockroachDB documents."""
    found = []
    for token in _TOKEN.finditer(_ALIAS.sub(r"AS \g<name>", sql)):
        kind = token.lastgroup
        if kind is not None and token[kind] not in _ALLOWED[kind]:
            found.append(token[kind])
    found += re.findall(r"ON CONFLICT\s*\([^)]*\)", sql)
    changed = _CHANGED.findall(sql)
    return found + [one for one in set(changed) if changed.count(one) > 1]


def test_the_list_is_fresh() -> None:
    """`python -m tests.data.statement_list` would change nothing."""
    assert FILE.read_text() == render()


@pytest.mark.parametrize("name", listed())
def test_cockroachdb_knows_the_form(name: str) -> None:
    """Words, types, functions and operators are ones that CockroachDB documents."""
    sql = statement_list.text(listed()[name], "cockroachdb")

    assert [] == unknown_to_cockroachdb(sql)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT a FROM t FOR SHARE", ["FOR", "SHARE"]),
        ("MERGE INTO t", ["MERGE"]),
        ("SELECT a FROM t WHERE pg_advisory_lock(1)", ["pg_advisory_lock"]),
        ("SELECT a::CIDR FROM t", ["CIDR"]),
        ("SELECT CAST(a AS HSTORE) FROM t", ["HSTORE"]),
        ("SELECT a <<= b FROM t", ["<<="]),
        ("SELECT a @> b FROM t", ["@>"]),
        (
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO NOTHING",
            ["ON CONFLICT (a)"],
        ),
        (
            "WITH x AS (UPDATE t SET a = 1 RETURNING a) UPDATE t SET a = 2",
            ["t"],
        ),
    ],
)
def test_a_form_of_postgresqls_own_is_seen(sql: str, told: list[str]) -> None:
    """The list of forms can refuse."""
    assert told == unknown_to_cockroachdb(sql)


def test_a_statement_made_on_the_spot_is_seen() -> None:
    """What a service sends and the list has not is told, with its sender."""
    sent = Sent()
    scope: dict[str, Any] = {"__name__": "services.cart.store", "sent": sent}
    exec("def send(one): see(one)\ndef see(one): sent.see(one)", scope)
    scope["send"](text("select 42"))
    scope["send"](next(iter(listed().values())))
    sent.see(select(stock))

    assert ["services.cart.store: select 42"] == sent.unlisted()
    assert {next(iter(listed()))} == sent.names()


async def test_what_a_store_sends_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder finds the service behind the data layer, whatever it sends."""
    database = object.__new__(Database)
    store = StorefrontStore(database, region="us")
    with recording() as sent:
        # It has no gateway: the statement is seen and goes nowhere.
        with pytest.raises(AttributeError):
            await store.blocks()
        monkeypatch.setattr("services.storefront.store._BLOCKS", text("select 42"))
        with pytest.raises(AttributeError):
            await store.blocks()
        with pytest.raises(AttributeError):
            await database.fetch("us", text("select 43"))

    assert {"storefront.store.BLOCKS"} == sent.names()
    assert ["services.storefront.store: select 42"] == sent.unlisted()


@pytest.fixture(scope="module")
def prepared(cluster: EmbeddedCluster) -> Iterator[dict[str, psycopg.Connection[Any]]]:
    """Two empty databases with the tables of PostgreSQL and of CockroachDB."""
    admin = conninfo.make_conninfo(cluster.admin_dsn("asia"), dbname="template1")
    layouts = {"postgresql": PostgresLayout(), "cockroachdb": CockroachLayout()}
    made: dict[str, psycopg.Connection[Any]] = {}
    with psycopg.connect(admin, autocommit=True) as session:
        for name, layout in layouts.items():
            session.execute(f"create database prepared_{name}")
            dsn = conninfo.make_conninfo(admin, dbname=f"prepared_{name}")
            made[name] = psycopg.connect(dsn, autocommit=True)
            made[name].execute(
                "create type crdb_internal_region as enum ('us', 'eu', 'asia')"
            )
            for statement in layout.create():
                if told := portable(statement):
                    made[name].execute(told)
        yield made
        for name, one in made.items():
            one.close()
            session.execute(f"drop database prepared_{name}")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", listed())
def test_postgresql_prepares_it(
    name: str, dialect: str, prepared: dict[str, psycopg.Connection[Any]]
) -> None:
    """Names, types and grammar are right, with the region as text and as an enum."""
    places: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return places.setdefault(found[1], f"${len(places) + 1}")

    sql = statement_list.text(listed()[name], dialect)
    sql = re.sub(r"%\((\w+)\)s", numbered, sql)
    session = prepared[dialect]

    session.execute(f"prepare checked as {sql}")
    session.execute("deallocate checked")


def test_a_wrong_statement_is_not_prepared(
    prepared: dict[str, psycopg.Connection[Any]],
) -> None:
    """A region compared as text fails where it is an enum, as on CockroachDB."""
    wrong = "prepare wrong as select 1 from stock where crdb_region = $1::varchar"

    prepared["postgresql"].execute(wrong)
    with pytest.raises(psycopg.errors.UndefinedFunction):
        prepared["cockroachdb"].execute(wrong)
    prepared["postgresql"].execute("deallocate wrong")
