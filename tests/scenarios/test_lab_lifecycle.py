"""A lab's bad days: killed, interrupted, restarted, strangers at its door."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from lab import authority
from lab.health import channel
from protos.shop.v1 import common_pb2, storefront_pb2, storefront_pb2_grpc

SEAWALL = Path(sys.executable).with_name("seawall")


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "SEAWALL_LAB": str(folder / "lab.json")}
    # What is begun in the background of a shell ignores SIGINT, and so do its children.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (folder / "output").open("w") as output:
            process = subprocess.Popen(
                [str(SEAWALL), "up", "--port-base", "0", *arguments],
                env=environ,
                stdout=output,
                stderr=output,
                text=True,
                cwd="/",
            )
    finally:
        signal.signal(signal.SIGINT, ours)
    end = time.monotonic() + 60
    while not _is_of(folder, process.pid):
        assert process.poll() is None, (folder / "output").read_text()
        assert time.monotonic() < end, "not ready in time"
        time.sleep(0.05)
    return process


def _is_of(folder: Path, pid: int) -> bool:
    # A killed lab's file lies there until the next start has tidied up.
    try:
        return bool(_document(folder)["pid"] == pid)
    except FileNotFoundError:
        return False


def _family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _wait_gone(family: list[psutil.Process], within: float) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(family, timeout=within)
    return [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def _document(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "lab.json").read_text())


def test_nothing_is_left_after_ctrl_c(tmp_path: Path) -> None:
    """When the command returns from Ctrl-C with 130, every process is gone."""
    process = _start(tmp_path)
    family = _family(process)
    assert len(family) > 30

    process.send_signal(signal.SIGINT)

    assert 130 == process.wait(30)
    assert [] == _wait_gone(family, within=0.2)
    assert not (tmp_path / "lab.json").exists()


def test_nothing_is_left_five_seconds_after_kill_9(tmp_path: Path) -> None:
    """`kill -9` of the command ends every process, and the next start works."""
    process = _start(tmp_path)
    family = _family(process)

    process.kill()
    process.wait()

    assert [] == _wait_gone(family, within=5)
    again = _start(tmp_path)
    again.terminate()
    assert 128 + signal.SIGTERM == again.wait(30)


def test_mutual_tls_serves_its_own_and_refuses_strangers(tmp_path: Path) -> None:
    """An order runs through the whole lab over mTLS; no certificate, no answer."""
    certs, strangers = tmp_path / "certs", tmp_path / "strangers"
    authority.make(certs, days=1)
    authority.make(strangers, days=1)
    process = _start(tmp_path / "lab", "--tls", str(certs))
    try:
        address = next(
            one["address"]
            for one in _document(tmp_path / "lab")["services"]
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
