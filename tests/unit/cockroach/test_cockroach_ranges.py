"""Ranges and partitions: places, splits, heat, and names that are no statements.

The rows of SHOW RANGES are written here as its documentation describes them; no
cluster made them.
"""

from __future__ import annotations

from typing import Any, Self

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.ranges import (
    Range,
    UnknownTableError,
    check_table,
    contended,
    key_without_values,
    range_of,
    ranges,
    since,
    with_hot,
)

SHOWN: dict[str, Any] = {
    "start_key": "…/1/'eu'/'40000000-0000-4000-8000-000000000000'",
    "end_key": "…/1/'eu'/'80000000-0000-4000-8000-000000000000'",
    "range_id": 71,
    "range_size_mb": 12.5,
    "lease_holder": 4,
    "lease_holder_locality": "region=eu,zone=a",
    "replica_localities": ["region=eu,zone=a", "region=eu,zone=b", "region=us,zone=a"],
    "split_enforced_until": "2026-12-01 00:00:00",
    "span_stats": {"key_count": 90, "live_bytes": 12_000_000},
}


class Session:
    """Answers one query after another, and remembers them."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [*answers]
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cursor(self, **_: Any) -> Session:
        return self

    def execute(self, query: Any, params: Any = None) -> Session:
        self.asked.append(query if isinstance(query, str) else query.as_string(None))
        if isinstance(self.answers[0], Exception):
            raise self.answers.pop(0)
        return self

    def fetchall(self) -> Any:
        return self.answers.pop(0)


def part(name: str, reads: int | None = 0, writes: int | None = 0) -> Range:
    return Range(name=name, role="owner", region=name, reads=reads, writes=writes)


def test_a_range_is_told_with_its_leaseholder_copies_and_split() -> None:
    """Where it is served, where else it is, how large, and until when it is split."""
    assert range_of(SHOWN) == Range(
        name="71",
        role="leaseholder",
        region="eu",
        zone="a",
        copies=("eu", "us"),
        start="…/?/'eu'/?",
        size_bytes=12_000_000,
        split_until="2026-12-01 00:00:00",
    )


def test_a_release_that_tells_less_is_understood() -> None:
    """Only the id is asked for; a size in megabytes serves where there is no other."""
    assert range_of({"range_id": 3, "range_size_mb": "0.5"}) == Range(
        name="3", role="leaseholder", size_bytes=500_000
    )


def test_the_statement_names_the_table_as_an_identifier() -> None:
    """One statement, that shows."""
    session = Session([SHOWN])
    assert [one.region for one in ranges(session, "orders")] == ["eu"]  # type: ignore[arg-type]
    assert session.asked == ['SHOW RANGES FROM TABLE "orders" WITH DETAILS']


def test_contention_is_left_out_where_it_may_not_be_seen() -> None:
    """A user without the privilege sees the ranges all the same."""
    seen = contended(Session([("orders_by_state", 12)]), "orders")  # type: ignore[arg-type]
    assert seen == {"orders_by_state": 12}
    refused = psycopg.errors.InsufficientPrivilege()
    assert contended(Session(refused), "orders") == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("…/'eu'/'a@b.example'", "…/'eu'/?"),
        ('…/"washington dc"/"8\\xe2\\"x"', "…/?/?"),
        ("/Table/106/1/'us'/7", "/Table/?/?/'us'/?"),
        ("<before:/Table/106>", "<before:/Table/?>"),
        ('…/"open', "…/?"),
    ],
)
def test_a_key_is_told_without_its_values(key: str, told: str) -> None:
    """A key may be a customer's address; its region is all that is needed."""
    assert key_without_values(key) == told


@pytest.mark.parametrize(
    "table",
    [
        "",
        "nosuch",
        "orders; DROP TABLE orders",
        'orders" WITH DETAILS; --',
        "Orders",
        "public.orders",
        "Weird Table",
    ],
)
def test_only_a_table_that_there_is_comes_through(table: str) -> None:
    """Anything else is refused with the list, whatever the database calls its own."""
    known = ["customers", "orders", "Weird Table"]
    assert check_table("orders", known) == "orders"
    with pytest.raises(UnknownTableError, match="customers, orders") as caught:
        check_table(table, known)
    assert caught.value.known == tuple(known)


@pytest.mark.parametrize(
    ("asked", "hot"),
    [
        ({"us": 400, "eu": 400, "asia": 400}, None),
        ({"us": 100, "eu": 5000, "asia": 100}, "eu"),
        ({"us": 500, "eu": 500}, None),
        ({"us": 9, "eu": 900}, None),
        ({"eu": 5000}, None),
        ({}, None),
    ],
)
def test_the_part_that_takes_more_than_half_is_hot(
    asked: dict[str, int], hot: str | None
) -> None:
    """Evenly shared work, little of it, or one part alone make no hot part."""
    marked = with_hot([part(name, reads, 0) for name, reads in asked.items()])
    assert [one.name for one in marked if one.hot] == ([] if hot is None else [hot])


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 10_000), st.none() | st.integers(0, 10_000)
        ),
        max_size=9,
    )
)
def test_at_most_one_part_is_hot(counts: list[tuple[int | None, int | None]]) -> None:
    """More than half is not left for two; and the order and figures stay."""
    given_ = [part(str(n), *both) for n, both in enumerate(counts)]
    marked = with_hot(given_)
    assert sum(one.hot for one in marked) <= 1
    assert [(m.name, m.reads, m.writes) for m in marked] == [
        (g.name, g.reads, g.writes) for g in given_
    ]


def test_what_happened_between_two_looks_is_the_difference() -> None:
    """A server that was restarted in between counts anew, never below nothing."""
    before = [part("us", 10, 5), part("eu", 100, 50)]
    after = [part("us", 15, 5), part("eu", 3, 1), part("asia", 7, 7), part("x", None)]
    told = since(before, after)
    assert [(one.reads, one.writes) for one in told] == [
        (5, 0),
        (0, 0),
        (7, 7),
        (None, 0),
    ]
