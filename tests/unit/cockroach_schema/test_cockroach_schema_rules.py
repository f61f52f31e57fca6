"""What a declaration may not say, and what it is told then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.declare import (
    REGION_COLUMN,
    Check,
    Column,
    DeclarationError,
    Descending,
    ForeignKey,
    Global,
    Index,
    RegionalByRow,
    RegionalByTable,
    SchemaSpec,
    Split,
    TableSpec,
    Unique,
    Unplaced,
)
from cockroach.schema.embedded import EmbeddedLayout
from cockroach.schema.metadata import metadata
from cockroach.schema.naive import NAIVE
from cockroach.schema.tables import SHOP
from cockroach.topology import REGIONS

COLUMNS = (Column("id", "uuid"), Column("at", "timestamp"), Column("body", "jsonb"))
REGIONAL = TableSpec(
    name="parent",
    locality=RegionalByRow(),
    columns=COLUMNS,
    key=(REGION_COLUMN, "id"),
    uniques=(Unique(name="at", columns=(REGION_COLUMN, "at")),),
)
SHARED = TableSpec(name="shared", locality=Global(), columns=COLUMNS, key=("id",))
AT_HOME = replace(SHARED, name="at_home", locality=RegionalByTable("eu"))


def child(**values: Any) -> TableSpec:
    """A REGIONAL table that is right but for what is given."""
    own: dict[str, Any] = {
        "name": "child",
        "locality": RegionalByRow(),
        "columns": (
            *COLUMNS,
            Column("parent_id", "uuid"),
            Column("maybe", "text", null=True),
        ),
        "key": (REGION_COLUMN, "id"),
    }
    return TableSpec(**(own | values))


def refers(
    table: str, columns: tuple[str, ...], referred: tuple[str, ...]
) -> tuple[ForeignKey, ...]:
    return (ForeignKey(columns=columns, table=table, referred=referred),)


def index(*columns: str | Descending, **values: Any) -> tuple[Index, ...]:
    return (Index(name="one", columns=columns, **values),)


def splits(*points: tuple[str, ...], index: str | None = None) -> tuple[Split, ...]:
    return (Split(points=points, index=index),)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a key without its region": (
        {"key": ("id",)},
        "does not begin with crdb_region: every insert would have to ask all regions",
    ),
    "a key with its region last": (
        {"key": ("id", REGION_COLUMN)},
        "does not begin with crdb_region",
    ),
    "a unique without its region": (
        {"uniques": (Unique(name="at", columns=("at",)),)},
        "unique at .at. does not begin with crdb_region",
    ),
    "an index without its region": (
        {"indexes": index("at")},
        "would search all regions",
    ),
    "a sharded index with its region": (
        {"indexes": index(REGION_COLUMN, "at", buckets=8)},
        "puts the region before the shard by itself",
    ),
    "a sharded index with its region last": (
        {"indexes": index("at", REGION_COLUMN, buckets=8)},
        "puts the region before the shard by itself",
    ),
    "one bucket": ({"indexes": index("at", buckets=1)}, "takes 2 to 2048"),
    "too many buckets": ({"indexes": index("at", buckets=4096)}, "takes 2 to 2048"),
    "an index that ends before it begins": (
        {"indexes": index(REGION_COLUMN, "at", since="0003", until="0003")},
        "ends at 0003, before 0003",
    ),
    "an index of json": (
        {"indexes": index(REGION_COLUMN, "body")},
        "a jsonb has no order",
    ),
    "an index of nothing": ({"indexes": index()}, "without columns"),
    "an index of an unknown column": (
        {"indexes": index(REGION_COLUMN, "colour")},
        "names colour, no column of it",
    ),
    "a key that may be null": ({"key": (REGION_COLUMN, "maybe")}, "may be null"),
    "a foreign key by id alone": (
        {"foreign_keys": refers("parent", ("parent_id",), ("id",))},
        "neither its key nor unique",
    ),
    "a foreign key with its region last": (
        {
            "foreign_keys": refers(
                "parent", ("parent_id", REGION_COLUMN), ("id", REGION_COLUMN)
            )
        },
        "neither its key nor unique",
    ),
    "a foreign key whose region is another column": (
        {
            "columns": (*COLUMNS, Column("parent_id", "uuid"), Column("home", "text")),
            "foreign_keys": refers(
                "parent", ("home", "parent_id"), (REGION_COLUMN, "id")
            ),
        },
        "home and crdb_region are of different kinds",
    ),
    "a foreign key to one region's table": (
        {"foreign_keys": refers("at_home", ("parent_id",), ("id",))},
        "leaves the region",
    ),
    "a foreign key to nothing": (
        {"foreign_keys": refers("nobody", ("parent_id",), ("id",))},
        "refers to nobody, which is no table",
    ),
    "a foreign key of another kind": (
        {"foreign_keys": refers("shared", ("at",), ("id",))},
        "at and id are of different kinds",
    ),
    "a foreign key of another length": (
        {"foreign_keys": refers("shared", ("parent_id", "at"), ("id",))},
        "another number of columns",
    ),
    "splits without a region": (
        {"splits": splits(("40000000-0000-4000-8000-000000000000",))},
        "does not begin with a region",
    ),
    "splits in an unknown region": (
        {"splits": splits(("mars", "40000000-0000-4000-8000-000000000000"))},
        "does not begin with a region",
    ),
    "splits at a region's begin": ({"splits": splits(("eu",))}, "begin there already"),
    "splits longer than the key": (
        {"splits": splits(("eu", "4", "5"))},
        "the key is .crdb_region, id.",
    ),
    "splits of nothing": ({"splits": splits()}, "without points"),
    "a split twice": ({"splits": splits(("eu", "4"), ("eu", "4"))}, "declared twice"),
    "splits of an unknown index": (
        {"splits": splits(("eu", "4"), index="nothing")},
        "which is no index of it",
    ),
    "splits of a sharded index": (
        {
            "indexes": index("at", buckets=8),
            "splits": splits(("eu", "4"), index="one"),
        },
        "at its shards by itself",
    ),
    "a region of one's own": (
        {"columns": (*COLUMNS, Column(REGION_COLUMN, "text"))},
        "made by the locality, not declared",
    ),
    "a key that counts up": (
        {"columns": (Column("id", "identity"),)},
        "keys are made by the application",
    ),
    "a column twice": ({"columns": (*COLUMNS, Column("id", "text"))}, "declared twice"),
    "a table nobody placed": (
        {"locality": Unplaced(), "key": ("id",)},
        "either every table has a locality or none",
    ),
    "a table in no region of ours": (
        {"locality": RegionalByTable("mars"), "key": ("id",)},
        "lives in 'mars'",
    ),
    "a name with a statement in it": (
        {"name": "child; drop table parent"},
        "lower-case letters",
    ),
    "a column with a quote": (
        {"columns": (*COLUMNS, Column('a"b', "text"))},
        "lower-case letters",
    ),
    "a check with a quote": (
        {"checks": (Check(name='x"', condition="id is not null"),)},
        "lower-case letters",
    ),
    "a table twice": ({"name": "parent"}, "table parent is declared twice"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_illegal_declaration_is_refused(what: str) -> None:
    """The message says what is wrong and why."""
    values, told = WRONG[what]

    with pytest.raises(DeclarationError, match=told):
        SchemaSpec(tables=(REGIONAL, SHARED, AT_HOME, child(**values)))


def test_the_same_index_twice_is_refused() -> None:
    """An index's name belongs to one table of the schema."""
    one = child(indexes=index(REGION_COLUMN, "at"))

    with pytest.raises(DeclarationError, match="index one is declared twice"):
        SchemaSpec(tables=(one, replace(one, name="other")))


@pytest.mark.parametrize(
    ("table", "target", "columns", "referred"),
    [
        (SHARED, REGIONAL, ("id",), (REGION_COLUMN,)),
        (SHARED, AT_HOME, ("id",), ("id",)),
        (AT_HOME, REGIONAL, ("id", "at"), (REGION_COLUMN, "id")),
        (
            replace(AT_HOME, name="elsewhere", locality=RegionalByTable("us")),
            AT_HOME,
            ("id",),
            ("id",),
        ),
    ],
)
def test_a_check_in_another_region_is_refused(
    table: TableSpec,
    target: TableSpec,
    columns: tuple[str, ...],
    referred: tuple[str, ...],
) -> None:
    """No GLOBAL row, and none of one region, hangs on a row that lives elsewhere."""
    wrong = replace(table, foreign_keys=refers(target.name, columns, referred))

    with pytest.raises(DeclarationError, match="foreign key"):
        SchemaSpec(tables=(wrong, target))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "foreign_keys": refers(
                "parent", (REGION_COLUMN, "id"), (REGION_COLUMN, "id")
            )
        },
        {
            "foreign_keys": refers(
                "parent", (REGION_COLUMN, "at"), (REGION_COLUMN, "at")
            )
        },
        {"foreign_keys": refers("shared", ("parent_id",), ("id",))},
        {"indexes": index("at", buckets=8)},
        {"indexes": index(REGION_COLUMN, Descending("at"))},
        {"locality": Global(), "key": ("id",), "indexes": index("at", buckets=8)},
        {"splits": splits(("eu", "4"), ("us", "4"))},
        {
            "indexes": index(REGION_COLUMN, "parent_id"),
            "splits": splits(("eu", "4"), index="one"),
        },
        {
            "locality": RegionalByTable("eu"),
            "key": ("id",),
            "foreign_keys": refers("at_home", ("parent_id",), ("id",)),
        },
    ],
)
def test_a_legal_declaration_is_taken_and_rendered(values: dict[str, Any]) -> None:
    """The rules refuse no more than they must."""
    schema = SchemaSpec(tables=(REGIONAL, SHARED, AT_HOME, child(**values)))

    assert "child" in "\n".join(CockroachLayout(schema=schema).create())
    assert list(metadata(schema).tables["child"].primary_key.columns.keys()) == [
        *child(**values).key
    ]


def test_a_quote_in_a_split_point_stays_a_value() -> None:
    """Values of points are the only text that is quoted, and it is."""
    schema = SchemaSpec(tables=(child(splits=splits(("eu", "o'clock"))),))

    assert "('eu', 'o''clock')" in "".join(CockroachLayout(schema=schema).presplit(1))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SchemaSpec(tables=(), primary="mars"), "primary region 'mars'"),
        (lambda: CockroachLayout(survival="rack"), "expected zone or region"),
        (lambda: CockroachLayout(dbname="shop; drop"), "lower-case letters"),
        (
            lambda: CockroachLayout(
                survival="region",
                schema=SchemaSpec(tables=(SHARED,), regions=("us", "eu")),
            ),
            "takes 3 regions, and there are 2",
        ),
        (
            lambda: CockroachLayout(survival="region", schema=NAIVE),
            "no regions to survive",
        ),
        (lambda: EmbeddedLayout(region="mars"), "one server for each of us, eu, asia"),
        (
            lambda: EmbeddedLayout(
                region="us",
                schema=SchemaSpec(tables=(SHARED,), regions=("us", "eu")),
            ),
            "one server for each of us, eu, asia",
        ),
        (lambda: EmbeddedLayout(region="us", schema=NAIVE), "nothing says where"),
        (lambda: list(CockroachLayout().make_index("x")), "no index 'x' is declared"),
    ],
)
def test_a_database_that_cannot_be_is_refused(make: Any, told: str) -> None:
    """Survival goals and names are checked before any statement is made."""
    with pytest.raises(DeclarationError, match=told):
        make()


KEYS = st.lists(
    st.sampled_from((REGION_COLUMN, "id", "at", "parent_id")),
    min_size=1,
    max_size=4,
    unique=True,
)


@given(KEYS, st.none() | st.integers(0, 3000))
def test_no_index_that_spans_regions_gets_through(
    columns: list[str], buckets: int | None
) -> None:
    """Whatever is declared: what is rendered has the region first, once."""
    one = child(indexes=index(*columns, buckets=buckets))
    try:
        schema = SchemaSpec(tables=(one,))
    except DeclarationError:
        good = columns[0] == REGION_COLUMN if buckets is None else 2 <= buckets <= 2048
        assert not good or (buckets is not None and REGION_COLUMN in columns)
        return
    (made,) = CockroachLayout(schema=schema).make_index("one")

    assert ("crdb_region" in made) == (buckets is None)
    assert ("using hash" in made) == (buckets is not None)
    if buckets is None:
        assert "on child (crdb_region" in made


def test_the_shop_is_placed_and_the_naive_schema_is_not() -> None:
    """The disease: no table has a home, keys count up, nothing names a region."""
    assert SHOP.placed
    assert not NAIVE.placed
    assert {"customers", "orders", "order_items"} <= set(NAIVE.by_name)
    assert NAIVE.by_name["orders"].columns[0].kind == "identity"
    assert not any(
        REGION_COLUMN in key
        for table in NAIVE.tables
        for key in (table.key, *(f.columns for f in table.foreign_keys))
    )


def test_every_declared_split_lies_in_a_region_of_its_own() -> None:
    """Each region's keys are cut, and all of them alike."""
    for table in SHOP.tables:
        for split in table.splits:
            cuts = {r: [p[1:] for p in split.points if p[0] == r] for r in REGIONS}
            assert len({tuple(c) for c in cuts.values()}) == 1
            assert all(cuts.values())
