"""A lab's bad days: killed, interrupted, restarted, strangers at its door."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from lab import authority
from lab.health import channel
from protos.shop.v1 import common_pb2, storefront_pb2, storefront_pb2_grpc
from tests.scenarios.labs import document, family, start, wait_gone


def test_nothing_is_left_after_ctrl_c(tmp_path: Path) -> None:
    """When the command returns from Ctrl-C with 130, every process is gone."""
    process = start(tmp_path)
    started = family(process)
    assert len(started) > 30

    process.send_signal(signal.SIGINT)

    assert 130 == process.wait(30)
    assert [] == wait_gone(started, within=0.2)
    assert not (tmp_path / "lab.json").exists()


def test_nothing_is_left_five_seconds_after_kill_9(tmp_path: Path) -> None:
    """`kill -9` of the command ends every process, and the next start works."""
    process = start(tmp_path)
    started = family(process)

    process.kill()
    process.wait()

    assert [] == wait_gone(started, within=5)
    again = start(tmp_path)
    again.terminate()
    assert 128 + signal.SIGTERM == again.wait(30)


def test_mutual_tls_serves_its_own_and_refuses_strangers(tmp_path: Path) -> None:
    """An order runs through the whole lab over mTLS; no certificate, no answer."""
    certs, strangers = tmp_path / "certs", tmp_path / "strangers"
    authority.make(certs, days=1)
    authority.make(strangers, days=1)
    process = start(tmp_path / "lab", "--tls", str(certs))
    try:
        address = next(
            one["address"]
            for one in document(tmp_path / "lab")["services"]
            if one["instance"] == "storefront-us-a"
        )
        request = storefront_pb2.CheckoutRequest(
            customer_id="eu-00000000-0000-4000-8000-000000000044",
            items=[common_pb2.LineItem(product_id="P0002", quantity=1)],
            card_token="tok_visa",
            idempotency_key="scenario-tls-1",
        )
        with channel(address, certs) as ours:
            order = storefront_pb2_grpc.StorefrontStub(ours).Checkout(
                request, timeout=10
            )
        assert order.order.order_id.startswith("eu-")
        for stranger in (grpc.insecure_channel(address), channel(address, strangers)):
            with stranger, pytest.raises(grpc.RpcError) as refused:
                storefront_pb2_grpc.StorefrontStub(stranger).Checkout(
                    request, timeout=3
                )
            assert refused.value.code() in {
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            }
    finally:
        process.terminate()
        process.wait(30)


def test_a_foreign_data_directory_is_named_and_kept(
    tmp_path: Path, seawall_in: Callable[[Path], Any]
) -> None:
    """Data of another version: exit code 2, the folder is named, nothing is lost."""
    data = tmp_path / "database" / "us"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9.6\n")

    done = seawall_in(tmp_path)("up", "--port-base", "0")

    assert 2 == done.returncode, done.stderr
    assert str(tmp_path / "database") in done.stderr
    assert "9.6\n" == (data / "PG_VERSION").read_text()
