"""A history from a copy, with what this process knows and the copy does not yet."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Select
from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

from cockroach.as_of import as_of
from cockroach.errors import DatabaseUnavailableError
from cockroach.ids import PublicId, customer_id, new_id
from services.orders import history, statements
from services.orders.domain import Order, OrderLine, OrderState
from services.orders.history import HistoryHandlers
from services.orders.recent import Recent
from services.orders.store import NEWEST, Cursor

CUSTOMER = customer_id("eu", 1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def order(minute: int, state: OrderState = OrderState.CONFIRMED) -> Order:
    when = NOON + timedelta(minutes=minute)
    return Order(
        id=PublicId.parse(str(new_id("eu"))),
        customer_id=CUSTOMER.uuid,
        key=f"k{minute}",
        fingerprint="f",
        state=state,
        lines=(OrderLine("P0001", 1, 100),),
        currency="EUR",
        rejection="",
        card_token="t",
        created_at=when,
        updated_at=when,
    )


class Store:
    """Has a copy with orders, newest first, or an error, or no answer."""

    def __init__(self, *orders: Order) -> None:
        self.orders = orders
        self.error: Exception | None = None
        self.hangs = False
        self.asked: list[float] = []

    async def page_of_copy(
        self,
        _customer: PublicId,
        cursor: Cursor,
        limit: int,
        *,
        at_most_s: float,
        lines: bool,
    ) -> tuple[list[Order], float]:
        assert lines
        self.asked.append(at_most_s)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        older = [
            one for one in self.orders if (one.created_at, one.id.uuid) < cursor.place
        ]
        return older[:limit], 1.5


class Told:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_event(self, event: Any) -> None:
        self.events.append(event)


@pytest.fixture
def page():
    """Read a page while the home is suspect."""

    async def read(
        store: Store,
        *remembered: Order,
        cursor: Cursor = NEWEST,
        size: int = 3,
        stale_reads_s: float = 30.0,
    ) -> history.Page:
        recent = Recent()
        for one in remembered:
            recent.see(one)
        handlers = HistoryHandlers(
            store=store,  # type: ignore[arg-type]
            elsewhere=None,  # type: ignore[arg-type]
            recent=recent,
            database=SimpleNamespace(suspect=lambda _: True),  # type: ignore[arg-type]
            policies=lambda: SimpleNamespace(  # type: ignore[arg-type,return-value]
                fallbacks=True, stale_reads_s=stale_reads_s
            ),
            recorder=Told(),
            draining=asyncio.Event(),
        )
        return await handlers.page(CUSTOMER, cursor, size, lines=True)

    return read


async def test_an_order_just_placed_is_on_the_page(page) -> None:
    """The copy does not have it yet; this process does."""
    new, old = order(9, OrderState.ACCEPTED), order(1)
    found = await page(Store(old), new)

    assert ([new, old], "", "HISTORY_FROM_COPY", 1.5) == (
        list(found.orders),
        found.next_token,
        found.fallback,
        found.age_s,
    )


async def test_a_state_never_goes_back(page) -> None:
    """Of an order that both know the further one is shown."""
    accepted = order(1, OrderState.ACCEPTED)
    confirmed = replace(accepted, state=OrderState.CONFIRMED)

    for copied, remembered in ((accepted, confirmed), (confirmed, accepted)):
        found = await page(Store(copied), remembered)
        assert [OrderState.CONFIRMED] == [one.state for one in found.orders]


async def test_pages_of_a_copy_follow_each_other(page) -> None:
    """Each order once, newest first, wherever it is known from."""
    orders = [order(minute) for minute in range(7, 0, -1)]
    store = Store(*orders[1:])
    seen, cursor = [], NEWEST
    for _ in range(9):
        found = await page(store, orders[0], orders[2], cursor=cursor)
        seen += found.orders
        if not found.next_token:
            break
        cursor = Cursor.parse(found.next_token)

    assert orders == seen


@pytest.mark.parametrize("trouble", ["error", "hangs"])
async def test_a_copy_that_cannot_tell_leaves_it_to_memory(
    page, monkeypatch, trouble
) -> None:
    """Away, too old, or not in time: what is remembered, marked as ever."""
    monkeypatch.setattr(history, "COPY_S", 0.01)
    store, new = Store(order(1)), order(2)
    store.hangs = trouble == "hangs"
    store.error = DatabaseUnavailableError("eu", "too_old")
    async with asyncio.timeout(5):
        found = await page(store, new)

    assert ([new], "HISTORY_FROM_MEMORY", None) == (
        list(found.orders),
        found.fallback,
        found.age_s,
    )
    assert [30.0] == store.asked


async def test_pages_from_memory_follow_each_other(page) -> None:
    """Each remembered order once, where there is no copy to ask."""
    orders = [order(minute) for minute in range(7, 0, -1)]
    seen, cursor = [], NEWEST
    for _ in range(9):
        found = await page(Store(), *orders, cursor=cursor, stale_reads_s=0.0)
        assert "HISTORY_FROM_MEMORY" == found.fallback
        seen += found.orders
        if not found.next_token:
            break
        cursor = Cursor.parse(found.next_token)

    assert orders == seen


async def test_with_nothing_allowed_no_copy_is_asked(page) -> None:
    """0 seconds is never."""
    store = Store(order(1))
    found = await page(store, stale_reads_s=0.0)

    assert ([], []) == (list(found.orders), store.asked)


@pytest.mark.parametrize("page", [statements.PAGE_LOCAL, statements.PAGE_SUMMARY])
def test_followers_may_answer_a_page(page: Select[Any]) -> None:
    """CockroachDB takes the statement in the past: one plain SELECT."""
    text = str(page.compile(dialect=CockroachDBDialect_psycopg()))

    assert 1 == as_of(text).count("AS OF SYSTEM TIME")
