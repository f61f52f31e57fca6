"""What the data layer adds to a transaction, beside plain SQLAlchemy in one run.

Both send BEGIN, a read, an update and COMMIT to the gateway at home of an embedded
cluster, in turns of a few transactions, so that what the machine does meanwhile
happens to both. A figure is the median of the ratios within a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Engine,
    bindparam,
    create_engine,
    delete,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cockroach import ids
from cockroach.batches import insert_many
from cockroach.database import Database, DataPolicy
from cockroach.embedded import EmbeddedCluster
from cockroach.routing import Router
from cockroach.runner_sync import BlockingRunner
from cockroach.schema.tables import cart_keys, stock
from cockroach.topology import DatabaseTarget, Gateway
from links.process import LinksProcess
from resilience import BudgetConfig

HOME = "eu"
FAR = "us"
BUDGET = 0.05
NOISE = 0.05
ROWS = 100
# Few transactions a turn and many turns: a machine drifts within seconds.
EACH = 5
# A tenth of the real distances: us to eu is 8 ms.
RTT_SCALE = 0.1
_DECISIONS = 2000

_WHICH = (
    stock.c.crdb_region == bindparam("region", type_=stock.c.crdb_region.type),
    stock.c.product_id == bindparam("product", type_=stock.c.product_id.type),
    stock.c.shard == 0,
)
_READ = select(stock.c.available).where(*_WHICH)
_WRITE = update(stock).where(*_WHICH).values(available=stock.c.available)
_PARAMS = {"region": HOME, "product": "P0011"}
_ADD = insert_many(cart_keys)
_ONE = text(
    "INSERT INTO cart_keys (crdb_region, customer_id, idem_key, fingerprint,"
    " created_at) VALUES (:crdb_region, :customer_id, :idem_key, :fingerprint,"
    " :created_at)"
)
_CLEAN = delete(cart_keys).where(
    cart_keys.c.crdb_region == HOME, cart_keys.c.fingerprint == "bench"
)

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One way of doing something; `share` is what it adds to plain SQLAlchemy."""

    name: str
    beside: str
    median_us: float
    added_us: float
    share: float
    turns: int

    def document(self) -> dict[str, Any]:
        """Make the entry of the JSON object's `results`."""
        return {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def compare(name: str, beside: str, mine: list[float], theirs: list[float]) -> Figure:
    """Compare seconds a transaction, turn by turn."""
    pairs = list(zip(mine, theirs, strict=True))
    return Figure(
        name=name,
        beside=beside,
        median_us=1e6 * statistics.median(mine),
        added_us=1e6 * statistics.median(a - b for a, b in pairs),
        share=statistics.median(a / b for a, b in pairs) - 1,
        turns=len(pairs),
    )


@contextlib.contextmanager
def cluster() -> Iterator[EmbeddedCluster]:
    """Run an embedded cluster of our own for a benchmark. Raises EmbeddedError."""
    root = Path(tempfile.mkdtemp(prefix="seawall-bench-"))
    with LinksProcess() as links:
        made = EmbeddedCluster(root, links=links.control, rtt_scale=RTT_SCALE)
        try:
            made.start()
            yield made
        finally:
            made.stop()
            shutil.rmtree(root, ignore_errors=True)


async def transactions(
    target: DatabaseTarget, *, turns: int, each: int
) -> dict[str, list[float]]:
    """Time a transaction in every way, in shuffled turns; seconds for each turn."""
    found: dict[str, list[float]] = {}
    async with _ways(target) as ways:
        order = list(ways.items())
        for turn in range(turns + 1):
            random.shuffle(order)
            for name, work in order:
                began = time.perf_counter()
                for _ in range(each):
                    await work()
                taken = (time.perf_counter() - began) / each
                if turn:  # the first one only warms up
                    found.setdefault(name, []).append(taken)
    return found


def decisions(target: DatabaseTarget, *, turns: int) -> list[float]:
    """Time the choice of a gateway; seconds a decision, for each turn."""
    router = Router(target, region=HOME)
    load = {one.name: number for number, one in enumerate(target.gateways)}

    def busy(gateway: Gateway) -> int:
        return load[gateway.name]

    found = []
    for _ in range(turns):
        began = time.perf_counter()
        for _ in range(_DECISIONS):
            router.choose("home_region", HOME, busy)
        found.append((time.perf_counter() - began) / _DECISIONS)
    return found


async def batches(target: DatabaseTarget, *, turns: int) -> dict[str, list[float]]:
    """Time one hundred rows: one by one, pipelined, in one statement."""
    database = _database(target, FAR)
    found: dict[str, list[float]] = {}

    async def one_by_one(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            await database.execute(HOME, _ONE, row)

    async def pipelined(rows: list[dict[str, Any]]) -> None:
        await database.execute(HOME, _ONE, rows)

    async def unnested(rows: list[dict[str, Any]]) -> None:
        await database.execute(HOME, _ADD.statement, _ADD.params(rows))

    try:
        for turn in range(turns + 1):
            for work in (one_by_one, pipelined, unnested):
                rows = _rows()
                began = time.perf_counter()
                await work(rows)
                taken = time.perf_counter() - began
                if turn:
                    found.setdefault(work.__name__, []).append(taken)
        await database.execute(HOME, _CLEAN)
    finally:
        await database.close()
    return found


@contextlib.asynccontextmanager
async def _ways(target: DatabaseTarget) -> AsyncIterator[dict[str, Work]]:
    # One connection for each way, and all to one gateway: what is not used as often is
    # colder, at the server too, and that is nobody's overhead.
    one = target.in_region(HOME)[0]
    target = replace(target, gateways=(one,))
    url = _url(target, one)
    arguments = {"sslmode": "disable", "gssencmode": "disable"}
    options: dict[str, Any] = {
        "connect_args": {**arguments, "prepare_threshold": None},
        "isolation_level": "SERIALIZABLE",
        "pool_size": 1,
    }
    engines = [create_async_engine(url, **options) for _ in range(2)]
    blockers = [create_engine(url, **options) for _ in range(3)]
    runner = BlockingRunner(blockers[2], region=HOME)
    database = _database(target, HOME)

    async def plain(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            (await connection.execute(_READ, _PARAMS)).all()
            await connection.execute(_WRITE, _PARAMS)

    async def work(transaction: Any) -> None:
        await transaction.fetch(_READ, _PARAMS)
        await transaction.execute(_WRITE, _PARAMS)

    async def ours() -> None:
        await database.transaction(HOME, work)

    async def plain_blocking(blocking: Engine) -> None:
        with blocking.begin() as connection:
            connection.execute(_READ, _PARAMS).all()
            connection.execute(_WRITE, _PARAMS)

    def blocking_work(connection: Any) -> None:
        connection.execute(_READ, _PARAMS).all()
        connection.execute(_WRITE, _PARAMS)

    async def ours_blocking() -> None:
        runner.transaction(blocking_work)

    await database.start()
    try:
        yield {
            "sqlalchemy aio": partial(plain, engines[0]),
            "sqlalchemy aio, again": partial(plain, engines[1]),
            "Database.transaction": ours,
            "sqlalchemy": partial(plain_blocking, blockers[0]),
            "sqlalchemy, again": partial(plain_blocking, blockers[1]),
            "BlockingRunner.transaction": ours_blocking,
        }
    finally:
        await database.close()
        for engine in engines:
            await engine.dispose()
        for blocker in blockers:
            blocker.dispose()


def _database(target: DatabaseTarget, region: str) -> Database:
    policy = DataPolicy(
        gateway_choice="home_region",
        single_statements="autocommit",
        pool_size=1,
        pool_overflow=0,
        pool_timeout_s=5.0,
        warm=True,
        transaction_attempts=5,
        breaker=True,
        # Not what is measured: a machine that stalls for a moment opens no breaker.
        breaker_slow_ms=10_000.0,
        statement_timeout_s=16.0,
        retry_budget=BudgetConfig(),
    )
    return Database(target, region=region, application="bench", policy=lambda: policy)


def _url(target: DatabaseTarget, gateway: Gateway) -> URL:
    return URL.create(
        "postgresql+psycopg",
        username=target.user,
        password=target.password,
        host=gateway.host,
        port=gateway.port,
        database=target.dbname,
    )


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "crdb_region": HOME,
            "customer_id": ids.customer_id(HOME, 1).uuid,
            "idem_key": uuid.uuid4().hex,
            "fingerprint": "bench",
            "created_at": datetime.now(UTC),
        }
        for _ in range(ROWS)
    ]


def measure(turns: int) -> tuple[list[Figure], list[str]]:
    """Run everything; return figures, and reasons why they may prove nothing."""
    with cluster() as running:
        home, far = running.target(HOME), running.target(FAR)
        taken = asyncio.run(transactions(home, turns=turns, each=EACH))
        chosen = decisions(home, turns=turns)
        rows = asyncio.run(batches(far, turns=max(3, turns // 60)))
    plain, blocking = taken["sqlalchemy aio"], taken["sqlalchemy"]
    found = [
        compare("sqlalchemy aio", "sqlalchemy aio", plain, plain),
        compare(
            "sqlalchemy aio, again",
            "sqlalchemy aio",
            taken["sqlalchemy aio, again"],
            plain,
        ),
        compare(
            "Database.transaction",
            "sqlalchemy aio",
            taken["Database.transaction"],
            plain,
        ),
        compare("sqlalchemy", "sqlalchemy", blocking, blocking),
        compare(
            "sqlalchemy, again", "sqlalchemy", taken["sqlalchemy, again"], blocking
        ),
        compare(
            "BlockingRunner.transaction",
            "sqlalchemy",
            taken["BlockingRunner.transaction"],
            blocking,
        ),
        Figure(
            name="Router.choose",
            beside="sqlalchemy aio",
            median_us=1e6 * statistics.median(chosen),
            added_us=1e6 * statistics.median(chosen),
            share=statistics.median(chosen) / statistics.median(plain),
            turns=len(chosen),
        ),
    ]
    one_by_one = rows["one_by_one"]
    found += [
        compare(f"{ROWS} rows far away, {name}", "one by one", one, one_by_one)
        for name, one in rows.items()
    ]
    doubts = [
        f"{one.name}: the same thing twice differs by {one.share:+.1%}"
        for one in found
        if one.name.endswith("again") and abs(one.share) > NOISE
    ]
    return found, doubts


def judged(found: list[Figure]) -> list[dict[str, Any]]:
    """Say which figures keep to the budget of 5 % of a local transaction."""
    wanted = ("Database.transaction", "BlockingRunner.transaction", "Router.choose")
    return [
        {
            "name": one.name,
            "limit": BUDGET,
            "share": round(one.share, 4),
            "ok": one.share <= BUDGET,
        }
        for one in found
        if one.name in wanted
    ]
