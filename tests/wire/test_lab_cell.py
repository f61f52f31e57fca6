"""A region's services in one container: they start together and end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lab import cell, layout
from lab.health import check

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu"


def _free_base() -> int:
    """Find a base whose ports of the region nobody holds."""
    for base in range(13_000, 31_000, 500):
        try:
            for one in cell.placements(REGION, base):
                for port in (one.port, one.metrics_port):
                    with socket.socket() as probe:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    base = _free_base()
    deploy = ROOT / "deploy" / "shop"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SHOP_")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "lab.cell", REGION, "--host", "cell-eu"),
            *("--port-base", str(base)),
        ],
        env={
            **environ,
            "TMPDIR": str(tmp_path),
            "SHOP_POLICIES": str(deploy / "policies.json"),
            "SHOP_PEERS": str(deploy / f"peers-{REGION}.json"),
            "SHOP_DATABASE": str(deploy / f"database-{REGION}.json"),
            "OTEL_SDK_DISABLED": "true",
        },
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "said").open("wb"),
        cwd=ROOT,
    )
    family: list[psutil.Process] = []
    try:
        end = time.monotonic() + 45
        while not (tmp_path / "cell-well").exists():
            assert process.poll() is None, (tmp_path / "said").read_text()[-2000:]
            assert time.monotonic() < end, "not well in time"
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        yield process, base
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        for one in alive:
            one.kill()


@pytest.fixture
def gone() -> Callable[[list[psutil.Process]], bool]:
    def wait(family: list[psutil.Process]) -> bool:
        _, alive = psutil.wait_procs(family, timeout=10)
        return not alive

    return wait


def test_all_serve_and_leave_when_told(
    running: tuple[subprocess.Popen[bytes], int],
    gone: Callable[[list[psutil.Process]], bool],
    tmp_path: Path,
) -> None:
    """Nine services serve; at SIGTERM all drain, nothing is left, the file is gone."""
    process, base = running
    family = psutil.Process(process.pid).children(recursive=True)
    placed = cell.placements(REGION, base)

    assert 9 == len(placed)
    assert ["SERVING"] * 9 == [check(one.address) for one in placed]
    assert cell.well(placed)
    process.send_signal(signal.SIGTERM)
    assert 0 == process.wait(30)
    assert gone(family)
    assert not (tmp_path / "cell-well").exists()
    assert not cell.well(placed)


def test_one_that_dies_ends_the_cell(
    running: tuple[subprocess.Popen[bytes], int],
    gone: Callable[[list[psutil.Process]], bool],
    tmp_path: Path,
) -> None:
    """The cell exits 1, says who died, and takes the others with it."""
    process, base = running
    family = psutil.Process(process.pid).children(recursive=True)
    port = next(
        one.port for one in cell.placements(REGION, base) if one.service == "cart"
    )
    victim = next(
        one
        for one in family
        if any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for connection in one.net_connections("tcp")
        )
    )
    victim.kill()

    assert 1 == process.wait(30)
    assert "cart-eu-a ended with exit code -9" in (tmp_path / "said").read_text()
    assert gone(family)


def test_each_process_is_told_who_it_is() -> None:
    """What the cell is told reaches all; place, ports and name are each one's own."""
    one = next(p for p in cell.placements("asia") if p.instance == "catalog-asia-b")
    told = cell.environment(one, "cell-asia", {"SHOP_PEERS": "x", "SHOP_ZONE": "c"})

    assert {
        "SHOP_PEERS": "x",
        "SHOP_SERVICE": "catalog",
        "SHOP_REGION": "asia",
        "SHOP_ZONE": "b",
        "SHOP_INSTANCE": "catalog-asia-b",
        "SHOP_LISTEN": "0.0.0.0:7304",
        "SHOP_ADDRESS": "cell-asia:7304",
        "SHOP_METRICS_LISTEN": "0.0.0.0:7354",
    } == told
    assert layout.WORLD not in {p.service for p in cell.placements("us")}
