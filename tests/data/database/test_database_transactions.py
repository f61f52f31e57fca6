"""Every SQLSTATE of the table, injected into both runners on a real database."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cockroach import errors, ids
from cockroach.attempts import Known
from cockroach.embedded import EmbeddedCluster
from cockroach.inserts import insert
from cockroach.runner_sync import BlockingRunner
from cockroach.schema.tables import cart_keys, stock
from cockroach.testing import inject
from cockroach.transaction import Transaction
from resilience import BudgetConfig, RetryRefused, RetryScheduled, deadline_scope
from resilience.testing import RecordingListener

P9 = (
    stock.c.crdb_region == "eu",
    stock.c.product_id == "P0009",
    stock.c.shard == 0,
)
LEFT = select(stock.c.available).where(*P9)
TAKE = update(stock).where(*P9).values(available=stock.c.available - 1)
WHOSE = ids.customer_id("eu", 3).uuid
# What may be injected, where, and what becomes of it with five attempts at hand.
ONCE = [
    ("40001", "statement", None),
    ("40001", "commit", None),
    ("40P01", "statement", None),
    ("55P03", "statement", None),
    ("57P01", "statement", None),
    ("08006", "statement", None),
    ("25P03", "statement", None),
    ("0A000", "statement", errors.StatementError),
    ("57014", "statement", errors.StatementTimeoutError),
    ("23505", "statement", errors.ConstraintError),
    ("XXC02", "statement", errors.LicenceThrottledError),
    ("53300", "statement", errors.TooManyConnectionsError),
    ("XCHR1", "statement", errors.WrongRegionError),
    ("XCHR2", "statement", errors.WrongRegionError),
    ("40003", "statement", errors.AmbiguousCommitError),
    ("40003", "commit", errors.AmbiguousCommitError),
    ("57P01", "commit", errors.AmbiguousCommitError),
    ("57P03", "commit", errors.AmbiguousCommitError),
    ("08006", "commit", errors.AmbiguousCommitError),
    ("57014", "commit", errors.AmbiguousCommitError),
]


class Order:
    """Work with an idempotency key, and the look for it, for both runners."""

    def __init__(self) -> None:
        self.key = uuid.uuid4().hex
        self.runs = self.looks = 0
        self.insert = insert(cart_keys).values(
            crdb_region="eu",
            customer_id=WHOSE,
            idem_key=self.key,
            fingerprint="f",
            created_at=datetime.now(UTC),
        )
        self.find = select(cart_keys.c.fingerprint).where(
            cart_keys.c.crdb_region == "eu",
            cart_keys.c.customer_id == WHOSE,
            cart_keys.c.idem_key == self.key,
        )

    async def work(self, transaction: Any) -> str:
        self.runs += 1
        await transaction.execute(self.insert)
        await transaction.execute(TAKE)
        return "done"

    async def look(self, transaction: Any) -> Known[str] | None:
        self.looks += 1
        return Known("found") if await transaction.fetch(self.find) else None

    def work_sync(self, connection: Any) -> str:
        self.runs += 1
        connection.execute(self.insert)
        connection.execute(TAKE)
        return "done"

    def look_sync(self, connection: Any) -> Known[str] | None:
        self.looks += 1
        return Known("found") if connection.execute(self.find).all() else None


@pytest.fixture
def order() -> Order:
    return Order()


@pytest.fixture
def engine(cluster: EmbeddedCluster) -> Iterator[Engine]:
    target = cluster.target("eu")
    gateway = target.in_region("eu")[0]
    url = URL.create(
        "postgresql+psycopg",
        username=target.user,
        password=target.password,
        host=gateway.host,
        port=gateway.port,
        database=target.dbname,
    )
    made = create_engine(
        url,
        connect_args={"sslmode": "disable", "gssencmode": "disable"},
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.1,
        hide_parameters=True,
    )
    yield made
    made.dispose()


@pytest.fixture
def runner(engine: Engine, listener: RecordingListener) -> BlockingRunner:
    return BlockingRunner(
        engine, region="eu", listener=listener, rng=random.Random(1), retry_budget=None
    )


def left(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(LEFT).scalar_one())


@pytest.mark.parametrize(("sqlstate", "at", "raises"), ONCE)
async def test_what_becomes_of_each_sqlstate(
    database, engine, order, sqlstate, at, raises
) -> None:
    """Once injected: run again as a whole, or told as what it is; never done twice."""
    one = database(transaction_attempts=5, breaker=False)
    before = left(engine)
    with inject(sqlstate, at=at) as fault:
        if raises is None:
            assert await one.transaction("eu", order.work) == "done"
        else:
            with pytest.raises(raises) as told:
                await one.transaction("eu", order.work)
            assert raises is type(told.value)

    assert 1 == fault.struck
    assert (2 if raises is None else 1) == order.runs
    assert before - (raises is None) == left(engine)


@pytest.mark.parametrize(("sqlstate", "at", "raises"), ONCE)
def test_the_blocking_runner_does_the_same(
    runner, engine, order, sqlstate, at, raises
) -> None:
    """The twin decides as the other does, for every SQLSTATE."""
    before = left(engine)
    with inject(sqlstate, at=at) as fault:
        if raises is None:
            assert runner.transaction(order.work_sync) == "done"
        else:
            with pytest.raises(raises) as told:
                runner.transaction(order.work_sync)
            assert raises is type(told.value)

    assert 1 == fault.struck
    assert (2 if raises is None else 1) == order.runs
    assert before - (raises is None) == left(engine)


@pytest.mark.parametrize("applied", [True, False])
async def test_an_ambiguous_commit_is_resolved_by_its_key(
    database, engine, order, applied
) -> None:
    """COMMIT's answer was lost: found, the work is not repeated; else it is."""
    one = database(transaction_attempts=5, breaker=False)
    before = left(engine)
    with inject("08006", at="commit", applied=applied):
        said = await one.transaction("eu", order.work, resolve=order.look)

    assert ("found" if applied else "done") == said
    assert (1 if applied else 2, 1) == (order.runs, order.looks)
    assert before - 1 == left(engine)


@pytest.mark.parametrize("applied", [True, False])
def test_the_blocking_runner_resolves_too(runner, engine, order, applied) -> None:
    """The same promise without an event loop."""
    before = left(engine)
    with inject("08006", at="commit", applied=applied):
        said = runner.transaction(order.work_sync, resolve=order.look_sync)

    assert ("found" if applied else "done") == said
    assert (1 if applied else 2, 1) == (order.runs, order.looks)
    assert before - 1 == left(engine)


async def test_a_commit_that_lands_late_is_met_by_its_key(
    database, engine, order
) -> None:
    """The look is too early: the repetition meets the key and looks once more."""
    one = database(transaction_attempts=5, breaker=False)
    before = left(engine)

    async def early(transaction: Any) -> Known[str] | None:
        found = await order.look(transaction)
        return found if order.looks > 1 else None

    with inject("57P01", at="commit", applied=True):
        said = await one.transaction("eu", order.work, resolve=early)

    assert ("found", 2, 2) == (said, order.runs, order.looks)
    assert before - 1 == left(engine)


async def test_a_look_that_fails_leaves_the_doubt(database, engine, order) -> None:
    """Nobody is told that nothing happened when it did."""
    one = database(transaction_attempts=3, breaker=False)
    before = left(engine)
    with (
        inject("08006", at="commit", applied=True),
        inject("57P01", matching="cart_keys.fingerprint", times=99),
        pytest.raises(errors.AmbiguousCommitError),
    ):
        await one.transaction("eu", order.work, resolve=order.look)

    assert (1, before - 1) == (order.runs, left(engine))


async def test_the_budget_is_the_regions(database, listener, order) -> None:
    """Half a bucket of lost attempts, and no transaction is tried a second time."""
    one = database(
        transaction_attempts=50, breaker=False, retry_budget=BudgetConfig(max_tokens=6)
    )
    with inject("40001", at="commit", times=99):
        for _ in range(3):
            with pytest.raises(errors.OutOfRetriesError, match="budget"):
                await one.transaction("eu", Order().work)

    assert (2, 3) == (
        len(listener.of(RetryScheduled)),
        len(listener.of(RetryRefused)),
    )
    assert "done" == await one.transaction("eu", order.work)


async def test_a_stale_plan_costs_its_connection(database, engine, order) -> None:
    """The session that keeps the old plan is replaced, and the work done."""
    one = database(transaction_attempts=5, breaker=False, pool_size=1)
    await one.start()
    with inject("0A000") as fault:
        fault.says = "cached plan must not change result type"
        await one.transaction("eu", order.work)

    assert 1 == sum(pool.discarded for pool in one.pool_stats())


async def test_a_slow_link_is_seen_by_the_caller(database, until) -> None:
    """The wait for one answer is bounded here; its connection comes back."""
    one = database(breaker=False, pool_size=1, statement_timeout_s=0.1)
    await one.start()
    with pytest.raises(errors.StatementTimeoutError, match=r"within 0\.1 s"):
        await one.fetch("eu", text("SELECT pg_sleep(0.4)"))
    with pytest.raises(errors.StatementTimeoutError):
        await one.transaction(
            "eu", lambda work: work.fetch(text("SELECT pg_sleep(0.4)"))
        )
    await until(lambda: not any(pool.busy for pool in one.pool_stats()))

    assert 0 == sum(pool.discarded for pool in one.pool_stats())
    assert 7 == (await one.fetch("eu", text("SELECT 7")))[0][0]


async def test_a_write_that_is_not_answered_is_in_doubt(database, engine) -> None:
    """Outside a transaction a late write may have happened: nobody says it did not."""
    one = database(breaker=False, statement_timeout_s=0.1)
    slow = text(
        "UPDATE stock SET available = available WHERE crdb_region = 'eu' "
        "AND product_id = 'P0009' AND pg_sleep(0.3) IS NOT NULL"
    )
    with pytest.raises(errors.AmbiguousCommitError):
        await one.execute("eu", slow)


async def test_what_the_work_leaves_behind_writes_nothing(database) -> None:
    """A task that goes on when its transaction is over is told so."""
    one = database("eu")
    left: list[asyncio.Task[None]] = []
    before = await one.fetch("eu", LEFT)

    async def look_and_take(transaction: Transaction) -> None:
        await transaction.execute(text("SELECT pg_sleep(0.05)"))
        await transaction.execute(TAKE)

    async def work(transaction: Transaction) -> None:
        left.append(asyncio.create_task(look_and_take(transaction)))
        await asyncio.sleep(0)
        raise LookupError("no such product")

    with pytest.raises(LookupError):
        await one.transaction("eu", work)
    with pytest.raises(errors.StatementError, match="is over"):
        await left[0]

    assert before == await one.fetch("eu", LEFT)


def test_what_the_work_swallowed_is_not_committed(runner, engine, order) -> None:
    """A server that gave the transaction up calls COMMIT a success; we do not."""
    before = left(engine)

    def swallow(connection: Any) -> None:
        order.work_sync(connection)
        try:
            connection.execute(
                text("DO $$ BEGIN RAISE EXCEPTION '' USING ERRCODE='40001'; END $$")
            )
        except DBAPIError:
            return

    with pytest.raises(errors.OutOfRetriesError):
        runner.transaction(swallow)
    assert (5, before) == (order.runs, left(engine))


def test_the_blocking_runner_keeps_to_pool_and_deadline(runner, engine) -> None:
    """No connection in time is exhaustion, no time left is told before asking."""
    with engine.connect(), pytest.raises(errors.PoolExhaustedError):
        runner.transaction(lambda one: one.execute(LEFT).scalar_one())
    with deadline_scope(-1), pytest.raises(errors.DeadlineSpentError):
        runner.transaction(lambda one: one.execute(LEFT).scalar_one())
    with inject("40001", times=99), deadline_scope(0.2):
        with pytest.raises(errors.OutOfRetriesError) as told:
            runner.transaction(lambda one: one.execute(LEFT).scalar_one())
        assert "gave up after" in str(told.value)


def test_an_orm_session_can_be_bound(runner, engine, order) -> None:
    """What a session commits on the connection is the runner's to commit."""
    before = left(engine)

    def work(connection: Any) -> int:
        order.runs += 1
        with Session(bind=connection) as session:
            session.execute(TAKE)
            session.commit()
            return int(session.execute(LEFT).scalar_one())

    with inject("40001", at="commit"):
        assert before - 1 == runner.transaction(work)
    assert (2, before - 1) == (order.runs, left(engine))


def test_an_error_of_the_work_comes_out_unchanged(runner, engine, order) -> None:
    """And nothing that it wrote stays."""
    before = left(engine)

    def fail(connection: Any) -> None:
        order.work_sync(connection)
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        runner.transaction(fail)
    assert before == left(engine)


async def test_a_refused_connection_is_tried_elsewhere(database, order) -> None:
    """A gateway that does not let us in is passed; one that is full is left alone."""
    one = database(transaction_attempts=3, breaker=False)
    with inject("57P03", at="connect"):
        assert "done" == await one.transaction("eu", order.work)
    full = database(transaction_attempts=3, breaker=False)
    with inject("53300", at="connect"), pytest.raises(errors.TooManyConnectionsError):
        await full.transaction("eu", Order().work)


def test_an_injection_must_be_an_sqlstate() -> None:
    """A misspelt one is refused instead of never striking."""
    with pytest.raises(ValueError, match="no SQLSTATE"), inject("4001"):
        pass
