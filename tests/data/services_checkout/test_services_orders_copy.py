"""Order histories from a streaming copy, while their home cannot tell them."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

from cockroach.ids import customer_id
from observability import names
from protos.shop.v1 import common_pb2, orders_pb2

ORDERS = {"services": ("orders",), "copies": True}


@pytest.fixture
def busiest(tables) -> str:
    """Name eu's customer with the most orders."""
    found = tables().one(
        "select customer_id from orders where crdb_region = 'eu' "
        "group by 1 order by count(*) desc limit 1"
    )
    return f"eu-{found}"


@pytest.fixture
def ask(busiest):
    """Ask for the first three orders of the busiest customer, or of another."""

    async def history(shop, customer: str = "", view=orders_pb2.ORDER_VIEW_FULL):
        return await shop.orders().ListOrders(
            orders_pb2.ListOrdersRequest(
                customer_id=customer or busiest,
                page=common_pb2.PageRequest(page_size=3),
                view=view,
            )
        )

    return history


def asked_of_copies(exporter: InMemorySpanExporter) -> list[dict[str, object]]:
    """List the statements that the copy got; connections are kept there anyway."""
    told = [dict(span.attributes or {}) for span in exporter.get_finished_spans()]
    return [
        one
        for one in told
        if one.get(names.GATEWAY_NAME) == "eu-at-us" and names.DB_SYSTEM in one
    ]


async def test_a_history_comes_from_the_copy_while_its_home_is_away(
    open_shop, replica, touch_eu, home_cut_off, ask, spans
):
    """The same page with its token, marked with its age, which is on the span too."""
    async with open_shop("cured", **ORDERS) as shop:
        fresh = await ask(shop)
        assert [] == asked_of_copies(spans)
        with home_cut_off("eu"):
            async with asyncio.timeout(20):
                # A first connection may take longer than anybody waits for it.
                while True:
                    touch_eu()
                    copied = await ask(shop)
                    if copied.degraded.reason == "HISTORY_FROM_COPY":
                        break
                short = await ask(shop, view=orders_pb2.ORDER_VIEW_SUMMARY)
    # The last one was for the page without lines.
    told = [one for one in asked_of_copies(spans) if one.get(names.STALE_SERVED)][-2]

    assert len(fresh.orders) == 3
    assert not fresh.HasField("degraded")
    assert list(fresh.orders) == list(copied.orders)
    assert fresh.next_page_token == copied.next_page_token != ""
    for order in copied.orders:
        del order.lines[:]
    assert list(copied.orders) == list(short.orders)
    assert common_pb2.Degraded.KIND_STALE == copied.degraded.kind
    assert ("replica", "home_away", "us", "eu", 30_000) == (
        told[names.STALE_SERVED],
        told[names.STALE_REASON],
        told[names.GATEWAY_REGION],
        told[names.HOME_REGION],
        told[names.STALE_AT_MOST_MS],
    )
    assert copied.degraded.age_ms == told[names.STALENESS_MS] <= 30_000


async def test_a_copy_that_is_too_old_tells_nothing(
    open_shop, replica, touch_eu, home_cut_off, ask, spans
):
    """Its age is asked for, its rows are not; memory answers as ever."""
    async with open_shop("cured", stale_reads_s=1e-6, **ORDERS) as shop:
        with home_cut_off("eu"):
            async with asyncio.timeout(20):
                while not asked_of_copies(spans):
                    touch_eu()
                    told = await ask(shop)

    assert "HISTORY_FROM_MEMORY" == told.degraded.reason
    assert common_pb2.Degraded.KIND_FALLBACK == told.degraded.kind
    assert not any(names.STALE_SERVED in one for one in asked_of_copies(spans))


@pytest.mark.parametrize(
    "changes", [{"copies": False}, {"stale_reads_s": 0.0}], ids=["no copy", "off"]
)
async def test_without_a_copy_or_leave_memory_answers_as_ever(
    open_shop, replica, touch_eu, home_cut_off, ask, spans, changes
):
    """No copy in the target, or 0 seconds allowed: nobody is asked anything more."""
    async with open_shop("cured", **ORDERS | changes) as shop:
        with home_cut_off("eu"):
            touch_eu()
            told = [await ask(shop) for _ in range(3)]

    assert {"HISTORY_FROM_MEMORY"} == {one.degraded.reason for one in told}
    assert [] == asked_of_copies(spans)


async def test_a_customer_without_orders_has_none_on_the_copy_either(
    open_shop, replica, touch_eu, home_cut_off, ask
):
    """An empty page that a copy vouches for is told from one that nobody remembers."""
    nobody = str(customer_id("eu", 999_999))
    async with open_shop("cured", **ORDERS) as shop:
        with home_cut_off("eu"):
            async with asyncio.timeout(20):
                while True:
                    touch_eu()
                    copied = await ask(shop, nobody)
                    if copied.degraded.reason == "HISTORY_FROM_COPY":
                        break

    assert [] == list(copied.orders)
