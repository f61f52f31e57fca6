"""The generator against a real storefront: open loop, honest latency, whole records."""

# ruff: noqa: N802 - gRPC names the methods of a servicer

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import pytest

from load import records
from load.arrivals import schedule
from load.generator import Generator, NoStorefrontError
from load.plan import Plan
from observability import tracing
from protos.shop.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    orders_pb2,
    storefront_pb2,
    storefront_pb2_grpc,
)


class Storefront(storefront_pb2_grpc.StorefrontServicer):
    """Answers at once, unless told to keep the callers waiting."""

    def __init__(self):
        self.metadata = []
        self.checkouts = []
        self.delay_s = 0.0

    async def Browse(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        await asyncio.sleep(self.delay_s)
        return storefront_pb2.BrowseResponse(
            products=[catalog_pb2.Product(product_id="P0001")]
        )

    async def Checkout(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        self.checkouts.append(request)
        if len(self.checkouts) % 2:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "closed for repair")
        return storefront_pb2.CheckoutResponse(
            order=orders_pb2.Order(
                order_id="eu-1", state=orders_pb2.ORDER_STATE_CONFIRMED
            )
        )


class Catalog(catalog_pb2_grpc.CatalogServicer):
    """Counts how often its cache was expired."""

    def __init__(self):
        self.expired = []

    async def ExpireCache(self, request, context):
        self.expired.append((time.time(), request.category))
        return catalog_pb2.ExpireCacheResponse(expired=1)


@pytest.fixture
async def shop():
    server = grpc.aio.server()
    storefront, catalog = Storefront(), Catalog()
    storefront_pb2_grpc.add_StorefrontServicer_to_server(storefront, server)
    catalog_pb2_grpc.add_CatalogServicer_to_server(catalog, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", storefront, catalog
    await server.stop(0)


def document(address, **changes):
    regions = ["us", "eu"]
    return {
        "seed": 3,
        "start_at": time.time() + 0.2,
        "duration_s": 1.0,
        "journeys": [
            {"name": "checkout", "rate": 20, "deadline_s": 5},
            {"name": "browse", "rate": 40, "deadline_s": 2},
        ],
        "away_share": 0.2,
        "flash": [],
        "storefronts": {region: [address] for region in regions},
        "catalogs": {region: [address] for region in regions},
        "catalogue": {
            "regions": regions,
            "customers_per_region": 300,
            "customer_id": "{region}-00000000-0000-4000-8000-{n:012d}",
            "products": 500,
            "product_id": "P{n:04d}",
        },
        **changes,
    }


async def play(plan_document, **options):
    plan = Plan.from_json(plan_document)
    telemetry = tracing.setup(
        service="load",
        region="",
        zone="",
        instance="load",
        environ={},
        make_global=False,
    )
    kept = []
    arrivals = schedule(plan)
    generator = Generator(
        plan, arrivals, tracer=telemetry.tracer, sink=kept.append, **options
    )
    await generator.run()
    return arrivals, kept, generator.tally


async def test_every_arrival_has_a_record(shop):
    """Nothing that was offered is missing from the results."""
    address, _, _ = shop
    arrivals, kept, tally = await play(document(address))

    assert len(arrivals) == len(kept) == tally.offered == tally.sent
    assert {"checkout", "browse"} == {record.journey for record in kept}
    assert tally.dropped == 0


async def test_records_tell_the_outcome(shop):
    """A served journey is a success, an error a failure with its code."""
    address, _, _ = shop
    _, kept, _ = await play(document(address))
    by_code = {(record.code, record.outcome) for record in kept}

    assert by_code == {("OK", "success"), ("UNAVAILABLE", "failure")}
    assert all(r.order_id == "eu-1" for r in kept if r.journey + r.code == "checkoutOK")


async def test_a_slow_shop_does_not_slow_the_arrivals(shop):
    """The loop is open: a second's wait holds back nobody who comes later."""
    address, storefront, _ = shop
    storefront.delay_s = 1.0
    _, kept, tally = await play(
        document(address, journeys=[{"name": "browse", "rate": 40, "deadline_s": 3}])
    )

    assert tally.late <= len(kept) * 0.1
    assert all(record.latency_ms >= 1000 for record in kept)


async def test_the_deadline_ends_a_journey(shop):
    """A customer waits as long as the plan says and no longer."""
    address, storefront, _ = shop
    storefront.delay_s = 5.0
    _, kept, _ = await play(
        document(address, journeys=[{"name": "browse", "rate": 20, "deadline_s": 0.3}])
    )

    assert {"DEADLINE_EXCEEDED"} == {record.code for record in kept}
    assert all(record.latency_ms < 1500 for record in kept)


async def test_the_call_carries_trace_and_address(shop):
    """The storefront sees the customer's address and the journey's trace."""
    address, storefront, _ = shop
    _, kept, _ = await play(document(address))
    seen = {m["traceparent"].split("-")[1] for m in storefront.metadata}

    assert seen == {record.trace_id for record in kept}
    assert all("." in metadata["x-client-ip"] for metadata in storefront.metadata)


async def test_each_checkout_has_a_key_of_its_own(shop):
    """No two orders share an idempotency key, and each says what is bought."""
    address, storefront, _ = shop
    await play(document(address))
    keys = [request.idempotency_key for request in storefront.checkouts]

    assert len(set(keys)) == len(keys)
    assert all(8 <= len(key) <= 64 for key in keys)
    assert all(1 <= len(request.items) <= 5 for request in storefront.checkouts)


async def test_a_flash_expires_the_cache_first(shop):
    """Every catalog forgets the front page before the crowd comes."""
    address, _, catalog = shop
    _, kept, tally = await play(
        document(
            address,
            journeys=[],
            flash=[{"at_s": 0.5, "readers_per_region": 10, "within_s": 0.1}],
        )
    )
    first = min(record.sent_s for record in kept)

    assert len(kept) == 20
    assert [category for _, category in catalog.expired] == ["", ""]
    assert all(at < first for at, _ in catalog.expired)
    assert set(tally.flash[0]["expired"].values()) == {1}


async def test_a_full_house_is_counted(shop):
    """What the bound on running journeys drops is told, not hidden."""
    address, storefront, _ = shop
    storefront.delay_s = 0.8
    arrivals, kept, tally = await play(document(address, max_in_flight=3))

    assert tally.dropped > 0
    assert len(arrivals) == len(kept) + tally.dropped


async def test_nobody_home(shop):
    """A storefront that does not answer is found before the start."""
    address, _, _ = shop
    plan = document(address)
    plan["storefronts"]["eu"] = ["127.0.0.1:1"]

    with pytest.raises(NoStorefrontError, match=r"127\.0\.0\.1:1$"):
        await play(plan, connect_s=0.5)


@pytest.fixture
def threaded_shop():
    """A storefront that a child process can call while the test waits."""

    class Quick(storefront_pb2_grpc.StorefrontServicer):
        def Browse(self, request, context):
            return storefront_pb2.BrowseResponse(
                products=[catalog_pb2.Product(product_id="P0001")]
            )

    server = grpc.server(futures.ThreadPoolExecutor(4))
    storefront_pb2_grpc.add_StorefrontServicer_to_server(Quick(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_the_command_writes_both_files(threaded_shop, tmp_path):
    """Results line by line, and a summary with the machine's own heartbeat."""
    plan = document(
        threaded_shop,
        start_at=time.time() + 2.5,
        journeys=[{"name": "browse", "rate": 30, "deadline_s": 2}],
    )
    paths = [tmp_path / name for name in ("plan.json", "results.jsonl", "sum.json")]
    paths[0].write_text(json.dumps(plan))
    flags = itertools.chain(
        *zip(("--plan", "--results", "--summary"), map(str, paths), strict=True)
    )
    subprocess.run([sys.executable, "-m", "load", *flags], check=True, timeout=30)
    kept = list(records.read(paths[1]))
    summary = json.loads(paths[2].read_text())

    assert len(kept) == summary["sent"] == summary["offered"]
    assert isinstance(summary["stalls"], list)
    assert summary["busy"]
    assert summary["spans"]["dropped_queue"] == 0


@pytest.fixture
def outputs(tmp_path):
    """Where a generator may write."""
    return ["--results", tmp_path / "r", "--summary", tmp_path / "s"]


def test_a_wrong_plan_exits_2(tmp_path, outputs):
    """Usage errors are told in a sentence."""
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "load", "--plan", plan, *outputs],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("load: the plan lacks 'seed'")


def test_the_leash_ends_the_generator(threaded_shop, tmp_path, outputs):
    """The generator leaves when the one who started it is gone."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(document(threaded_shop, duration_s=50)))
    child = subprocess.Popen(
        [sys.executable, "-m", "load", "--leash", "--plan", plan, *outputs],
        stdin=subprocess.PIPE,
    )
    threading.Timer(1.0, child.stdin.close).start()

    assert child.wait(timeout=20) == 0
