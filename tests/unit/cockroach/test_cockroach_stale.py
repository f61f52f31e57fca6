"""Which reads are answered near the client, and what is sent for them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text, union
from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

from cockroach import errors, spans
from cockroach.as_of import StaleStatementError, as_of
from cockroach.fleet import Fleet
from cockroach.lease import Result
from cockroach.routing import Router
from cockroach.schema.tables import customers, orders
from cockroach.stale import Stale, StaleReads
from cockroach.topology import DatabaseTarget, Gateway, Replica
from observability import names
from resilience.testing import FakeClock

CLAUSE = "AS OF SYSTEM TIME follower_read_timestamp()"
AT = {"zone": "a", "host": "127.0.0.1", "port": 1}
GATEWAYS = tuple(Gateway(name=f"{r}-a", region=r, **AT) for r in ("us", "eu"))
EU_AT_US = Replica(name="eu-at-us", region="us", of="eu", **AT)


def compiled(statement) -> str:
    made = str(statement.compile(dialect=CockroachDBDialect_psycopg()))
    return " ".join(as_of(made).split())


@pytest.mark.parametrize(
    ("statement", "around"),
    [
        (select(customers.c.id), ("FROM customers", "")),
        (
            select(customers.c.id).where(customers.c.crdb_region == "eu"),
            ("FROM customers", "WHERE customers.crdb_region"),
        ),
        (select(customers.c.id).limit(3), ("FROM customers", "LIMIT")),
        (
            select(orders.c.state, func.count()).group_by(orders.c.state),
            ("FROM orders", "GROUP BY orders.state"),
        ),
        (
            select(orders.c.id, customers.c.name)
            .join(customers, orders.c.customer_id == customers.c.id)
            .order_by(orders.c.created_at.desc()),
            ("ON orders.customer_id = customers.id", "ORDER BY"),
        ),
        (
            select(select(orders.c.id).where(orders.c.id.is_(None)).cte("some")),
            ('FROM "some"', ""),
        ),
        (
            select(select(orders.c.id).limit(1).scalar_subquery(), customers.c.id),
            ("FROM customers", ""),
        ),
        (text("SELECT ' FROM x WHERE (' FROM customers"), ("FROM customers", "")),
    ],
)
def test_where_the_clause_goes(statement, around) -> None:
    """After the outermost FROM with its joins, before whatever follows it."""
    before, after = around
    made = compiled(statement)

    assert f"{before} {CLAUSE} {after}".strip() in made
    assert 1 == made.count(CLAUSE)
    assert CLAUSE in made.rpartition(before)[2]


@pytest.mark.parametrize(
    "statement",
    [
        select(customers.c.id).with_for_update(),
        select(customers.c.id).where(customers.c.name == "x").with_for_update(),
        union(select(customers.c.id), select(orders.c.id)),
        text("INSERT INTO stock SELECT 1 FROM stock"),
        text("UPDATE stock SET available = 1"),
        text("WITH x AS (SELECT 1) DELETE FROM stock"),
        text("SELECT 1"),
    ],
)
def test_what_cannot_be_read_in_the_past(statement) -> None:
    """Writes, locks and set operations are refused before they are sent."""
    with pytest.raises(StaleStatementError):
        compiled(statement)


class Near(StaleReads):
    """Asks nobody: what near gateways would say is told beforehand."""

    def __init__(
        self, target: DatabaseTarget, clock: FakeClock, region: str = "us"
    ) -> None:
        self.asked: list[str] = []
        self.behind: float | None = 1.0
        self.fails: errors.DatabaseError | None = None
        self.told: dict[str, Any] = {}
        super().__init__(
            target,
            Fleet.__new__(Fleet),
            Router(target, region=region),
            region=region,
            policy=lambda: None,  # type: ignore[arg-type]
            home=self._at_home,
            tracer=None,  # type: ignore[arg-type]
            clock=clock,
        )
        self._fleet._pools = {}

    async def _ask(self, gateway, home, statement, params, key, **kind) -> Any:
        if kind.get("probe"):
            self.asked.append(f"gauge {gateway.name}")
            return Result([(self.behind,)], 1)
        if self.fails is not None:
            raise self.fails
        self.told = dict(spans._also.get() or {})
        self.asked.append(f"{gateway.name}{' as of' if kind['rewrite'] else ''}")
        return Result((), 0)

    async def _at_home(self, home, statement, params, key) -> Result:
        self.told = dict(spans._also.get() or {})
        self.asked.append(f"home {home}")
        return Result((), 0)

    async def read(self, home: str, at_most_s: float = 10.0) -> tuple[str, str, int]:
        await self.fetch(home, select(orders.c.id), None, None, Stale(at_most_s))
        told = self.told
        return (
            told[names.STALE_SERVED],
            told[names.STALE_REASON],
            told[names.STALENESS_MS],
        )

    async def read_elsewhere(
        self, home: str, at_most_s: float = 10.0
    ) -> tuple[str, str, float]:
        copied = await self.elsewhere(
            home, select(orders.c.id), None, None, Stale(at_most_s)
        )
        told = self.told
        return told[names.STALE_SERVED], told[names.STALE_REASON], copied.behind_s


@pytest.fixture
def near(clock):
    def make(flavour: str, *replicas: Replica, region: str = "us") -> Near:
        target = DatabaseTarget(
            flavour=flavour,  # type: ignore[arg-type]
            dbname="shop",
            user="u",
            password="",
            gateways=GATEWAYS,
            replicas=replicas,
        )
        return Near(target, clock, region)

    return make


async def test_cockroach_answers_from_followers(near, clock) -> None:
    """Our own region's gateway, in the past; how far is asked once a minute."""
    one = near("cockroach")
    one.behind = 4.8

    assert ("follower", "near", 4800) == await one.read("eu")
    clock.advance(30)
    assert ("follower", "near", 4800) == await one.read("eu")
    assert ["gauge us-a", "us-a as of", "us-a as of"] == one.asked


async def test_followers_are_not_read_where_a_gateway_drains(near) -> None:
    """Another of the region is, or else the home; from elsewhere another region's."""
    one = near("cockroach")
    one._router.leave(frozenset({"us-a"}))

    assert ("home", "no_replica", 0) == await one.read("eu")
    assert one.nearest_copy("asia").name != "us-a"


async def test_a_tighter_bound_than_followers_keep_asks_the_home(near) -> None:
    """Nobody gets an older answer than he allows."""
    one = near("cockroach")
    one.behind = 4.8

    assert ("home", "too_old", 0) == await one.read("eu", 4.0)
    assert ["gauge us-a", "home eu"] == one.asked


async def test_a_replica_is_as_old_as_its_last_look_says(near, clock) -> None:
    """The lag is measured, and the time since then counts as lag too."""
    one = near("postgres", EU_AT_US)

    assert ("replica", "near", 1000) == await one.read("eu")
    clock.advance(0.4)
    assert ("replica", "near", 1400) == await one.read("eu")
    assert ("home", "too_old", 0) == await one.read("eu", 1.2)
    clock.advance(0.2)
    one.behind = 0.1
    assert ("replica", "near", 100) == await one.read("eu", 1.2)


async def test_what_is_not_known_to_be_fresh_is_not_used(near) -> None:
    """A server that has replayed nothing, or replays nothing, is no replica."""
    one = near("postgres", EU_AT_US)
    one.behind = None

    assert ("home", "too_old", 0) == await one.read("eu", 1e9)


async def test_without_a_replica_the_home_is_asked(near) -> None:
    """Also for our own rows, where nothing could be nearer."""
    assert ("home", "no_replica", 0) == await near("embedded").read("eu")
    assert ("home", "at_home", 0) == await near("embedded", EU_AT_US).read("us")


async def test_a_replica_that_fails_is_left_alone_for_a_while(near, clock) -> None:
    """The read is answered at home, and so are those of the next second."""
    one = near("postgres", EU_AT_US)
    one.fails = errors.ConnectRefusedError("us", "connect_failed")

    assert ("home", "near_failed", 0) == await one.read("eu")
    one.fails = None
    assert ("home", "no_replica", 0) == await one.read("eu")
    clock.advance(1.1)
    assert "replica" == (await one.read("eu"))[0]


async def test_a_wrong_statement_is_wrong_everywhere(near) -> None:
    """No second try at home for what the statement itself is to blame for."""
    one = near("postgres", EU_AT_US)
    one.fails = errors.StatementError("syntax", sqlstate="42601")
    with pytest.raises(errors.StatementError):
        await one.read("eu")


async def test_a_copy_elsewhere_is_the_nearest_and_never_the_home(near) -> None:
    """Asia reads its rows in us, not in eu; us and eu have none of asia's gateways."""
    copies = [
        Replica(name=f"asia-at-{at}", region=at, of="asia", **AT) for at in ("eu", "us")
    ]
    one = near("postgres", EU_AT_US, *copies, region="asia")

    assert ("replica", "home_away", 1.0) == await one.read_elsewhere("asia")
    assert ["gauge asia-at-us", "asia-at-us"] == one.asked


async def test_cockroach_reads_a_home_that_is_away_at_another_region(near) -> None:
    """A follower in the past, at a gateway of another region."""
    one = near("cockroach", region="eu")
    one.behind = 4.8

    assert ("follower", "home_away", 4.8) == await one.read_elsewhere("eu")
    assert ["gauge us-a", "us-a as of"] == one.asked


@pytest.mark.parametrize(
    ("behind", "fails", "why", "asked"),
    [
        (20.0, None, "too_old", ["gauge eu-at-us"]),
        (None, None, "too_old", ["gauge eu-at-us"]),
        (
            1.0,
            errors.ConnectRefusedError("us", "connect_failed"),
            "near_failed",
            ["gauge eu-at-us"],
        ),
    ],
)
async def test_a_copy_that_cannot_answer_is_an_error_and_no_trip_home(
    near, behind, fails, why, asked
) -> None:
    """Too old, of unknown age, or away: said so, and the home is left alone."""
    one = near("postgres", EU_AT_US, region="eu")
    one.behind, one.fails = behind, fails
    with pytest.raises(errors.DatabaseUnavailableError) as said:
        await one.read_elsewhere("eu")

    assert (why, "eu", asked) == (said.value.reason, said.value.region, one.asked)


async def test_no_copy_is_an_error_without_a_statement(near) -> None:
    """Where no target names one nothing is asked."""
    one = near("embedded", region="eu")
    with pytest.raises(errors.DatabaseUnavailableError, match="no_replica"):
        await one.read_elsewhere("eu")

    assert [] == one.asked


def test_replicas_travel_with_the_target() -> None:
    """The description of a database names them, and old ones without are read."""
    target = DatabaseTarget(
        flavour="postgres",
        dbname="shop",
        user="u",
        password="",
        gateways=GATEWAYS,
        replicas=(EU_AT_US,),
    )

    assert target == DatabaseTarget.from_json(target.to_json())
    assert (EU_AT_US,) == target.replicas_of("eu", "us")
    assert () == target.replicas_of("us", "us")
    with pytest.raises(ValueError, match="more than 0"):
        Stale(0)


COLUMNS = st.sampled_from(
    ["a", "'it''s FROM (where'", '"from"', "(SELECT 1 FROM x WHERE y)", "f(a, b)"]
)
TABLES = st.sampled_from(
    ["t", "t JOIN u ON t.a = u.a", "(SELECT a FROM v WHERE b LIMIT 1) AS w", '"where"']
)
TAILS = st.sampled_from(
    ["", "WHERE a = ')'", "GROUP BY a", "ORDER BY a LIMIT 2", "WHERE a IN (SELECT 1)"]
)


@given(st.lists(COLUMNS, min_size=1, max_size=3), TABLES, TAILS)
def test_the_clause_changes_nothing_else(columns, table, tail) -> None:
    """Whatever quotes and parentheses hold, it stands between FROM's and the rest."""
    head = f"SELECT {', '.join(columns)} FROM {table}"

    assert f"{head} {CLAUSE} {tail}".strip() == as_of(f"{head} {tail}").strip()
