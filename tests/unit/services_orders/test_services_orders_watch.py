"""A watcher reads no lines of an order before its state changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from cockroach.errors import DatabaseUnavailableError
from cockroach.ids import PublicId, customer_id, new_id
from services.orders import history
from services.orders.domain import Order, OrderLine, OrderState
from services.orders.history import HistoryHandlers


class Store:
    """One order, and how often it was asked for which part of it."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.whole = self.states = 0
        self.away = False

    async def find_all(self, _region, _ids):
        self.whole += 1
        return [self.order]

    async def state(self, _order):
        self.states += 1
        if self.away:
            raise DatabaseUnavailableError("eu", "connect_failed")
        if self.states == 5:
            self.order = replace(self.order, state=OrderState.CONFIRMED)
        return self.order.state


@pytest.fixture
def store() -> Store:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return Store(
        Order(
            id=PublicId.parse(str(new_id("eu"))),
            customer_id=customer_id("eu", 1).uuid,
            key="k",
            fingerprint="f",
            state=OrderState.ACCEPTED,
            lines=(OrderLine("P0001", 1, 100),),
            currency="EUR",
            rejection="",
            card_token="t",
            created_at=now,
            updated_at=now,
        )
    )


@pytest.fixture
def handlers(store, monkeypatch) -> HistoryHandlers:
    monkeypatch.setattr(history, "WATCH_S", 0.001)
    return HistoryHandlers(
        store=store,
        elsewhere=None,
        recent=SimpleNamespace(see=lambda _: None),
        database=SimpleNamespace(suspect=lambda _: False),
        policies=lambda: SimpleNamespace(fallbacks=True, sql_batching="batched"),
        recorder=None,
        draining=asyncio.Event(),
    )


async def test_only_a_change_is_read_whole(handlers, store) -> None:
    """Five looks at the state, two at the order: when it began and when it changed."""
    async with asyncio.timeout(5):
        told = [one.state async for one in handlers.watch(store.order.id)]

    assert [OrderState.ACCEPTED, OrderState.CONFIRMED] == told
    assert (5, 2) == (store.states, store.whole)


async def test_a_look_that_fails_falls_back_as_ever(handlers, store) -> None:
    """Where the state cannot be read the order is asked for, with its fallbacks."""
    store.away = True
    watching = handlers.watch(store.order.id)
    async with asyncio.timeout(5):
        await anext(watching)
        store.order = replace(store.order, state=OrderState.CONFIRMED)
        told = await anext(watching)

    assert OrderState.CONFIRMED is told.state
