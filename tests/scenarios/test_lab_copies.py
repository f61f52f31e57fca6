"""A lab with a copy of each region's server: told, used, and gone with it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cockroach.topology import REGIONS, DatabaseTarget, nearest
from lab.health import channel
from links.control import LinkControl
from protos.shop.v1 import common_pb2, storefront_pb2, storefront_pb2_grpc
from tests.scenarios.labs import document, family, start, wait_gone

CUSTOMER = "eu-00000000-0000-4000-8000-000000000051"
COPIES = {f"{region}-at-{nearest(region)[0]}" for region in REGIONS}


def _directories(folder: Path) -> set[str]:
    return {path.name for path in (folder / "database" / "servers").glob("*-at-*")}


def _order(storefront: Any) -> None:
    """Place an order: what is committed makes the copy young again."""
    request = storefront_pb2.CheckoutRequest(
        customer_id=CUSTOMER,
        items=[common_pb2.LineItem(product_id="P0002", quantity=1)],
        card_token="tok_visa",
        idempotency_key="scenario-copy-1",
    )
    storefront.Checkout(request, timeout=10)


@pytest.mark.timeout(180)
def test_copies_are_told_used_and_gone_with_the_lab(
    tmp_path: Path, seawall_in: Callable[[Path], Any]
) -> None:
    """Each region's rows stand in the nearest one; a history is read there; no rest."""
    process = start(tmp_path, "--replicas")
    try:
        lab = document(tmp_path)
        status = json.loads(seawall_in(tmp_path)("status", "--json", "-").stdout)
        assert COPIES == {one["name"] for one in status["copies"]}
        assert {"up"} == {one["health"] for one in status["copies"]}
        assert "pass" == status["verdict"]
        for region in REGIONS:
            target = DatabaseTarget.load(tmp_path / f"database-{region}.json")
            assert COPIES == {one.name for one in target.replicas}

        found = _history_with_the_home_cut_off(lab)
        assert common_pb2.Degraded.KIND_STALE == found.degraded[0].kind
        assert 0 <= found.degraded[0].age_ms <= 30_000
        assert found.orders
        started = family(process)
    finally:
        process.kill()
        process.wait()

    assert [] == wait_gone(started, within=5)
    again = start(tmp_path)
    try:
        assert set() == _directories(tmp_path)
        assert () == DatabaseTarget.load(tmp_path / "database-eu.json").replicas
    finally:
        again.terminate()
        assert 128 + signal.SIGTERM == again.wait(30)


def _history_with_the_home_cut_off(lab: dict[str, Any]) -> Any:
    control = LinkControl(lab["links"]["control"])
    links = [f"sql-eu-to-eu-{zone}" for zone in ("a", "b")]
    address = next(
        one["address"]
        for one in lab["services"]
        if one["instance"] == "storefront-eu-a"
    )
    with channel(address, None) as dialled:
        storefront = storefront_pb2_grpc.StorefrontStub(dialled)
        _order(storefront)
        for link in links:
            control.disable(link)
        try:
            end = time.monotonic() + 20
            while True:
                found = storefront.OrderHistory(
                    storefront_pb2.OrderHistoryRequest(customer_id=CUSTOMER), timeout=10
                )
                reasons = {one.reason for one in found.degraded}
                if reasons == {"HISTORY_FROM_COPY"}:
                    return found
                assert time.monotonic() < end, reasons
        finally:
            for link in links:
                control.enable(link)
            control.close()
