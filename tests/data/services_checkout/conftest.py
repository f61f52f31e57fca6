"""A cell of real services around the real cluster, and a look into its tables."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from psycopg.rows import dict_row

from cockroach.embedded import EmbeddedCluster
from cockroach.ids import PublicId, customer_id
from cockroach.topology import DatabaseTarget
from lab import profiles
from lab.layout import free_ports
from links.process import LinksProcess
from protos.shop.v1 import (
    acquirer_pb2_grpc,
    common_pb2,
    inventory_pb2_grpc,
    orders_pb2,
    orders_pb2_grpc,
    payments_pb2_grpc,
)
from services.acquirer.handlers import AcquirerHandlers
from services.acquirer.servicer import AcquirerServicer
from services.acquirer.store import CardStore
from services.orders import handlers
from services.runtime.testing import Running, environment, serving, write_policies

SERVICES = ("acquirer", "catalog", "inventory", "payments", "orders")
# A busy machine is not a slow home: only tests of slowness ask for less.
UNHURRIED = {"data_slow_ms": 3000.0}
# Products that no other test sells.
_products = itertools.count(301)


class Tables:
    """What the database of a region holds, read past every service."""

    def __init__(self, dsn: str) -> None:
        self._session = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)

    def close(self) -> None:
        self._session.close()

    def rows(self, sql: str, *values: Any, **named: Any) -> list[dict[str, Any]]:
        return self._session.execute(sql, named or values).fetchall()

    def one(self, sql: str, *values: Any, **named: Any) -> Any:
        return next(iter(self.rows(sql, *values, **named)[0].values()))

    def set_stock(self, product: str, available: int, region: str) -> None:
        self._session.execute(
            "update stock set available = case when shard = 0 then %s else 0 end "
            "where crdb_region = %s and product_id = %s",
            (available, region, product),
        )

    def stock(self, product: str, region: str = "eu") -> int:
        return int(
            self.one(
                "select sum(available) from stock "
                "where crdb_region = %s and product_id = %s",
                region,
                product,
            )
        )

    def money(self, order: PublicId) -> tuple[int, int, int]:
        """Entries booked for an order, what they sum to, and what was taken."""
        row = self.rows(
            "select count(*) as entries, coalesce(sum(amount_minor), 0) as total, "
            "coalesce(sum(amount_minor) filter (where account = 'card_network'), 0) "
            "as taken from ledger_entries where crdb_region = %s and order_id = %s",
            order.region,
            order.uuid,
        )[0]
        return row["entries"], int(row["total"]), int(row["taken"])

    def state(self, table: str, order: PublicId) -> str | None:
        key = "id" if table in {"orders", "intake"} else "order_id"
        found = self.rows(
            f"select state from {table} where crdb_region = %s and {key} = %s",
            order.region,
            order.uuid,
        )
        return found[0]["state"] if found else None

    def anything(self, key: str, region: str = "eu") -> int:
        """Rows that know an idempotency key."""
        return self.one(
            "select (select count(*) from orders where crdb_region = %(region)s "
            "and idem_key = %(key)s) + (select count(*) from intake "
            "where crdb_region = %(region)s and idem_key = %(key)s)",
            region=region,
            key=key,
        )


class Shop:
    """The checkout's services of some regions, each to be stopped and started."""

    def __init__(
        self,
        cluster: EmbeddedCluster,
        folder: Path,
        policies: Mapping[str, object],
        *,
        copies: bool = False,
    ) -> None:
        self.cluster = cluster
        self._copies = copies
        self.cards = CardStore()
        self.policies = dict(policies)
        self._folder = folder
        self._running: dict[tuple[str, str], tuple[AsyncExitStack, Running]] = {}
        self._ports: dict[tuple[str, str], int] = {}

    async def start(self, service: str, region: str = "eu") -> Running:
        environ = environment(
            service,
            self._folder / f"{service}-{region}",
            policies=self.policies,
            region=region,
            database=None if service == "acquirer" else self._target(region),
            peers=self._peers(region),
            LISTEN=self._address(service, region),
            DRAIN_S="0.5",
        )
        stack = AsyncExitStack()
        bootstrap = self._acquirer if service == "acquirer" else None
        running = await stack.enter_async_context(serving(environ, bootstrap))
        self._running[service, region] = stack, running
        return running

    async def stop(self, service: str, region: str = "eu") -> None:
        stack, _ = self._running.pop((service, region))
        await stack.aclose()

    async def close(self) -> None:
        for service, region in reversed(list(self._running)):
            await self.stop(service, region)

    def set_policies(self, **changes: object) -> None:
        """Change policies in every process that runs, and for those to come."""
        self.policies |= changes
        for (service, region), (_, running) in self._running.items():
            write_policies(
                self._folder / f"{service}-{region}" / "policies.json", self.policies
            )
            running.process.refresh_policies()

    def running(self, service: str, region: str = "eu") -> Running:
        return self._running[service, region][1]

    def stub(self, kind: Any, service: str, region: str = "eu") -> Any:
        return kind(self.running(service, region).channel)

    def orders(self, region: str = "eu") -> Any:
        return self.stub(orders_pb2_grpc.OrdersStub, "orders", region)

    @property
    def inventory(self) -> Any:
        return self.stub(inventory_pb2_grpc.InventoryStub, "inventory")

    @property
    def payments(self) -> Any:
        return self.stub(payments_pb2_grpc.PaymentsStub, "payments")

    def _acquirer(self, runtime: Any) -> None:
        runtime.serve(
            "shop.v1.Acquirer",
            acquirer_pb2_grpc.add_AcquirerServicer_to_server,
            AcquirerServicer(AcquirerHandlers(self.cards)),
        )

    def _target(self, region: str) -> DatabaseTarget:
        target = self.cluster.target(region)
        # Another test's copy is none of this one's.
        return target if self._copies else replace(target, replicas=())

    def _address(self, service: str, region: str) -> str:
        port = self._ports.get((service, region))
        if port is None:
            given = self._ports.values()
            # A service listens later than its port is named; one more than were given,
            # so that there is a new one among them.
            port = next(one for one in free_ports(len(given) + 1) if one not in given)
            self._ports[service, region] = port
        return f"127.0.0.1:{port}"

    def _peers(self, region: str) -> dict[str, dict[str, list[str]]]:
        known = {
            service: {region: [self._address(service, region)]} for service in SERVICES
        }
        # One card network for the world; orders know each other over the WAN.
        known["acquirer"] = {region: [self._address("acquirer", "eu")]}
        for other in ("us", "eu"):
            known["orders"][other] = [self._address("orders", other)]
        return known


@pytest.fixture
def tables(cluster: EmbeddedCluster):
    """Look into a region's tables: tables("eu")."""
    opened: dict[str, Tables] = {}

    def of(region: str = "eu") -> Tables:
        if region not in opened:
            opened[region] = Tables(cluster.admin_dsn(region))
        return opened[region]

    yield of
    for one in opened.values():
        one.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch):
    """Have sagas run to their end, however long: `patience(0.25)` for less."""

    def wait(seconds: float) -> None:
        monkeypatch.setattr(handlers, "PATIENCE_S", seconds)

    wait(10.0)
    return wait


@pytest.fixture
def open_shop(cluster: EmbeddedCluster, tmp_path: Path):
    """Open the checkout's services: `async with open_shop("cured") as shop`."""

    @asynccontextmanager
    async def opening(
        profile: profiles.Profile = "cured",
        *,
        regions: Sequence[str] = ("eu",),
        services: Sequence[str] = SERVICES,
        copies: bool = False,
        **changes: object,
    ) -> AsyncIterator[Shop]:
        values = profiles.values(profiles.cures_of(profile)) | UNHURRIED | changes
        shop = Shop(cluster, tmp_path, values, copies=copies)
        try:
            for region in regions:
                for service in services:
                    if (service, region) != ("acquirer", "us"):
                        await shop.start(service, region)
            yield shop
        finally:
            await shop.close()

    return opening


@pytest.fixture
def home_cut_off(wan_process: LinksProcess):
    """Cut a region's services off from its database: `with home_cut_off("eu")`."""

    @contextmanager
    def cut(region: str) -> Iterator[None]:
        links = [f"sql-{region}-to-{region}-{zone}" for zone in ("a", "b")]
        for link in links:
            wan_process.control.disable(link)
        try:
            yield
        finally:
            for link in links:
                wan_process.control.enable(link)

    return cut


@pytest.fixture
def home_slow(wan_process: LinksProcess):
    """Have a region's database answer its services late: `with home_slow("eu")`."""

    @contextmanager
    def slow(region: str, latency_ms: int = 400) -> Iterator[None]:
        links = [f"sql-{region}-to-{region}-{zone}" for zone in ("a", "b")]
        for link in links:
            wan_process.control.toxic_add(
                link, "latency", toxic="late", attributes={"latency": latency_ms}
            )
        try:
            yield
        finally:
            for link in links:
                wan_process.control.toxic_remove(link, "late")

    return slow


@pytest.fixture
def product(tables: Callable[[str], Tables]):
    """Name a product that nobody else sells, with a given stock at home."""

    def stocked(available: int = 10, region: str = "eu") -> str:
        name = f"P{next(_products):04d}"
        tables(region).set_stock(name, available, region)
        return name

    return stocked


@pytest.fixture
def checkout():
    """Build a checkout request of a customer in the EU."""

    def build(
        *products: str,
        key: str = "",
        token: str = "tok_visa",
        customer: str = "",
        quantity: int = 1,
    ) -> orders_pb2.PlaceOrderRequest:
        return orders_pb2.PlaceOrderRequest(
            customer_id=customer or str(customer_id("eu", 20)),
            items=[
                common_pb2.LineItem(product_id=one, quantity=quantity)
                for one in products
            ],
            card_token=token,
            idempotency_key=key or f"test-{uuid4()}",
        )

    return build


@pytest.fixture
def refused():
    """Await a call that must be refused; return status, reason, info and fields."""

    async def refusal(call: Any) -> tuple[str, str, dict[str, str], list[str]]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for part in rpc_status.from_call(caught.value).details:
            for message in (info, request):
                if part.Is(message.DESCRIPTOR):
                    part.Unpack(message)
        fields = [one.field for one in request.field_violations]
        return caught.value.code().name, info.reason, dict(info.metadata), fields

    return refusal


@pytest.fixture
def until():
    """Wait, bounded, until a condition holds: `await until(lambda: ...)`."""

    async def wait(
        condition: Callable[[], bool], seconds: float = 15.0, pause: float = 0.03
    ) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the tables tell nobody
                await asyncio.sleep(pause)

    return wait


@pytest.fixture
def until_it_works():
    """Repeat a call, bounded, while the far end is not back: channels take a moment."""

    async def repeat(call: Callable[[], Any], seconds: float = 15.0) -> Any:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await call()
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                await asyncio.sleep(0.05)

    return repeat
