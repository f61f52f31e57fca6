"""The list of gateways is followed, and one that drains is left before it closes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cockroach.gateways import GatewayWatch
from cockroach.topology import DatabaseTarget, Gateway, TopologyError


class Heard:
    """What a database would be told."""

    def __init__(self, path: Path) -> None:
        self.target = DatabaseTarget.load(path)
        self.targets: list[list[str]] = []
        self.left: list[frozenset[str]] = []

    def retarget(self, target: DatabaseTarget) -> None:
        self.targets.append([one.name for one in target.gateways])

    def leave(self, gateways: frozenset[str]) -> None:
        self.left.append(gateways)


class Node(BaseHTTPRequestHandler):
    """Answers the health path as a node does that drains or not."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def node() -> Iterator[tuple[str, type[Node]]]:
    handler = type("OneNode", (Node,), {})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/health?ready=1", handler
    server.shutdown()
    thread.join()
    server.server_close()


def target(*names: str, ready: str = "") -> DatabaseTarget:
    return DatabaseTarget(
        flavour="cockroach",
        dbname="shop",
        user="app",
        password="",
        gateways=tuple(
            Gateway(
                name=name,
                region=name.partition("-")[0],
                zone="a",
                host="127.0.0.1",
                port=1,
                ready=ready,
            )
            for name in names
        ),
    )


def write(path: Path, what: DatabaseTarget) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(what.to_json())
    fresh.rename(path)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "database.json"


def test_the_file_is_followed(path) -> None:
    """A new list is taken once; an unchanged file is not read again."""
    write(path, target("eu-a", "eu-b"))
    heard = Heard(path)
    watch = GatewayWatch(path, heard)
    assert not watch.refresh()
    write(path, target("eu-a", "eu-b", "eu-c"))
    assert watch.refresh()
    assert not watch.refresh()
    assert heard.targets == [["eu-a", "eu-b", "eu-c"]]


def test_a_file_that_changed_while_the_process_started_is_taken(path) -> None:
    """Between the database and its watch there is a warm-up, which takes time."""
    write(path, target("eu-a", "eu-b"))
    heard = Heard(path)
    write(path, target("eu-b", "eu-c"))
    watch = GatewayWatch(path, heard)
    assert not watch.refresh()
    assert heard.targets == [["eu-b", "eu-c"]]


def test_a_broken_file_changes_nothing(path, caplog) -> None:
    """The last good list stays in force, and a line says why."""
    write(path, target("eu-a"))
    heard = Heard(path)
    watch = GatewayWatch(path, heard)
    path.write_text("{")
    assert not watch.refresh()
    path.unlink()
    assert not watch.refresh()
    assert not heard.targets
    assert "left as it was" in caplog.text


async def test_a_draining_node_is_left_and_taken_back(path, node) -> None:
    """503 of the health address means: nothing new; 200 again means: come back."""
    address, handler = node
    write(path, target("eu-a", ready=address))
    heard = Heard(path)
    watch = GatewayWatch(path, heard)
    assert await watch.ask() == frozenset()
    handler.status = 503
    assert await watch.ask() == {"eu-a"}
    assert await watch.ask() == {"eu-a"}
    handler.status = 200
    assert await watch.ask() == frozenset()
    assert heard.left == [{"eu-a"}, frozenset()]


async def test_a_silent_health_address_is_no_drain(path, node) -> None:
    """Only the answer 503 says so: statements judge everything else."""
    address, handler = node
    handler.status = 500
    write(path, target("eu-a", ready=address))
    heard = Heard(path)
    watch = GatewayWatch(path, heard)
    assert not await watch.ask()
    write(path, target("eu-a", ready="http://127.0.0.1:9/health"))
    assert watch.refresh()
    assert not await watch.ask()
    assert not heard.left


def test_a_health_address_is_http() -> None:
    """Other kinds of address, files among them, are refused when read."""
    with pytest.raises(TopologyError, match="http address"):
        replace(target("eu-a").gateways[0], ready="file:///etc/passwd")
